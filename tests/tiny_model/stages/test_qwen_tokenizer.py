"""A tokenizer learnt from captions, as Z-Image's pipeline and our reader use it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2Tokenizer

from lafi_tiny.stages.qwen_tokenizer import (
    QWEN_FOLDER,
    build_qwen_tokenizer,
    stage_qwen_tokenizer,
)
from lafi_tiny.stages.text_to_flow import TextToFlow
from lafi_tiny.stages.tokenizer import some_captions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    stage_qwen_tokenizer(folder, captions=500)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Qwen2Tokenizer:
    return stage_qwen_tokenizer(folder)


def test_the_kept_one_is_used_again_and_other_programs_know_its_class(folder: Path) -> None:
    kept = AutoTokenizer.from_pretrained(folder / QWEN_FOLDER)
    assert type(kept) is Qwen2Tokenizer
    text = "a child waving in the snow 夜晚"
    assert kept(text).input_ids == stage_qwen_tokenizer(folder).encode(text)


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_comes_back_as_it_was(tokenizer: Qwen2Tokenizer, text: str) -> None:
    again = build_qwen_tokenizer(["a child"], 300)
    for one in (tokenizer, again):
        ids = one.encode(text, add_special_tokens=False)
        assert one.decode(ids) == one.backend_tokenizer.normalizer.normalize_str(text)


def test_words_of_captions_are_few_tokens(tokenizer: Qwen2Tokenizer) -> None:
    lengths = [
        int(TextToFlow.token_ids(tokenizer, [text])[0, 1].sum()) for text in some_captions(9, 200)
    ]
    assert sum(length <= 64 for length in lengths) >= 190


def test_a_prompt_is_one_turn_without_capital_letters(tokenizer: Qwen2Tokenizer) -> None:
    ids = TextToFlow.token_ids(tokenizer, ["A Child", "a child", ""])
    assert ids.shape == (3, 2, 32)
    assert ids[0].tolist() == ids[1].tolist()
    read = [row[0][row[1] == 1].tolist() for row in ids]
    assert tokenizer.decode(read[0]) == "<|im_start|>a child<|im_end|>"
    assert tokenizer.decode(read[2]) == "<|im_start|><|im_end|>"


def test_a_text_that_is_too_long_is_refused(tokenizer: Qwen2Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"text: got \d+ tokens, allowed 512"):
        TextToFlow.token_ids(tokenizer, ["1 2 3 " * 300])
