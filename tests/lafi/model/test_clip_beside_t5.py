"""Texts to the token ids of CLIP and T5 together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_checkpoints import joint_checkpoint
from transformers import CLIPTokenizer, T5Tokenizer

from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import text_stack_of
from lafi.model.info import ModelInfo
from lafi.model.text_stack import PromptReader, WordSpan
from lafi.model.text_stacks.clip_beside_t5 import CLIP_LENGTH
from lafi.serving.batched_engine import check_token_ids

Checkpoint = tuple[Path, ModelInfo, PromptReader]
TEXTS = st.text(st.sampled_from("ab xyz,.é\n"), max_size=160)


def made(name: str, folder: Path) -> Checkpoint:
    joint_checkpoint(name, folder)
    info = read_model_info(folder)
    return folder, info, text_stack_of(info).reader(folder, info)


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return made("sd3", tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return made("dev", tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def tokenizers(sd3: Checkpoint) -> list[CLIPTokenizer | T5Tokenizer]:
    folder = sd3[0]
    clips = [CLIPTokenizer.from_pretrained(folder / part) for part in ("tokenizer", "tokenizer_2")]
    return [*clips, T5Tokenizer.from_pretrained(folder / "tokenizer_3")]


@settings(deadline=None, max_examples=40)
@given(text=TEXTS)
def test_every_encoder_reads_what_the_pipeline_hands_it(
    sd3: Checkpoint, tokenizers: list[CLIPTokenizer | T5Tokenizer], text: str
) -> None:
    _, info, reader = sd3
    (ids,) = reader.token_ids([text])
    lengths = (CLIP_LENGTH, CLIP_LENGTH, info.text_length)
    assert ids.shape == text_stack_of(info).ids(info)
    for row, tokenizer, length in zip(ids, tokenizers, lengths, strict=True):
        wanted = tokenizer(text, padding="max_length", max_length=length, truncation=True)
        assert row[:length].tolist() == wanted.input_ids
        assert not row[length:].any()
    whole = tokenizers[0](text).input_ids
    assert (reader.size(text).partly == "") == (len(whole) <= CLIP_LENGTH)


def test_a_server_takes_the_ids(sd3: Checkpoint, flux: Checkpoint) -> None:
    for folder, info, reader in (sd3, flux):
        vocabularies = text_stack_of(info).vocabularies(folder, info)
        check_token_ids(*vocabularies)(reader.token_ids(["a child", "", "\u5b69\u5b50"]))


def test_words_have_their_slot_in_the_tokens_of_the_encoded_text(
    sd3: Checkpoint, flux: Checkpoint
) -> None:
    text, spans = "a red coat", [WordSpan(2, 5, 1)]
    for (_, info, reader), length in ((sd3, CLIP_LENGTH + 256), (flux, 512)):
        slots = reader.slots(text, spans)
        (output, _) = text_stack_of(info).outputs(info)
        assert slots.shape == (length,) == output.shape[:1]
        assert slots.dtype == np.int32
        clip = slots[: length - info.text_length]
        assert clip.tolist() == [-1, -1, 1, 1, 1, *[-1] * 72][: len(clip)]
        t5 = slots[length - info.text_length :]
        assert 3 <= (t5 == 1).sum() <= 4
