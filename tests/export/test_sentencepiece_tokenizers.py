"""A folder whose T5 tokenizer is a SentencePiece model alone is read as sentencepiece reads it."""

import io
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.text_stacks.t5_reader import T5Reader, t5_reader
from lafi_export.check_command import check_command
from lafi_export.prepared_checkpoint import prepared
from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.sentencepiece_tokenizers import PIECES, unconverted_tokenizers
from lafi_export.single_file import SingleFile

LENGTH = 120
LETTERS = st.characters(min_codepoint=ord("!"), max_codepoint=ord("~"))
TEXTS = st.lists(st.text(LETTERS, min_size=1, max_size=8), min_size=1, max_size=8).map(" ".join)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model as T5's are: unigrams; <pad>, </s> and <unk> are 0, 1 and 2."""
    folder = tmp_path_factory.mktemp("pieces")
    text = folder / "text.txt"
    text.write_text("a child in a red coat runs over the bridge\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "spiece"),
        model_type="unigram",
        vocab_size=100,
        hard_vocab_limit=False,
        required_chars="".join(map(chr, range(ord("!"), ord("~") + 1))),
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return folder / PIECES


@pytest.fixture(scope="module")
def checkpoint(pieces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PixArt folder with such a tokenizer, as the published ones have it."""
    folder = tmp_path_factory.mktemp("source") / "pixart"
    random_checkpoint("pixart", folder, size="small")
    tokenizer = folder / "tokenizer"
    shutil.rmtree(tokenizer)
    tokenizer.mkdir()
    shutil.copy(pieces, tokenizer / PIECES)
    facts = {"tokenizer_class": "T5Tokenizer", "model_max_length": 120, "extra_ids": 0}
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps({**facts, **marks}))
    return folder


@pytest.fixture(scope="module")
def reader(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> T5Reader:
    before = {file: file.read_bytes() for file in (checkpoint / "tokenizer").iterdir()}
    with prepared(SingleFile(checkpoint), tmp_path_factory.mktemp("beside")) as folder:
        assert not unconverted_tokenizers(folder)
        assert read_model_info(folder).text_length == LENGTH
        reader = t5_reader(folder / "tokenizer", LENGTH)
    assert {file: file.read_bytes() for file in (checkpoint / "tokenizer").iterdir()} == before
    return reader


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=TEXTS)
def test_tokens_are_those_of_sentencepiece(reader: T5Reader, pieces: Path, text: str) -> None:
    model = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    wanted = [*model.encode(text), model.eos_id()]
    found = reader.token_ids([text])[0]
    assert found[: len(wanted)].tolist() == wanted
    assert not found[len(wanted) :].any()


def test_check_says_what_it_is(checkpoint: Path) -> None:
    said = Console(record=True, file=io.StringIO(), width=300)
    assert check_command([checkpoint], None, said) == 0
    assert "a checkpoint, PixArtAlphaPipeline of the family pixart" in said.export_text()


def test_a_damaged_model_is_named(checkpoint: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(checkpoint, tmp_path / "damaged"))
    (damaged / "tokenizer" / PIECES).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    said = rf"tokenizer/{PIECES}: is damaged or no T5 tokenizer"
    with pytest.raises(CheckpointError, match=said), prepared(SingleFile(damaged), tmp_path):
        pass
    assert not list(tmp_path.glob(".checkpoint.*"))
