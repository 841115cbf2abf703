"""Textual-inversion files: read, added to a tokenizer and to an embedding table."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_export.textual_inversion import (
    LearntWord,
    TextualInversionError,
    add_words,
    check_width,
    extended,
    read_textual_inversion,
)

WEIGHTS = Path(__file__).parents[2] / "tiny_model" / "weights"


def saved(folder: Path, **tensors: Tensor) -> Path:
    save_file(tensors, folder / "word.safetensors")
    return folder / "word.safetensors"


def test_layouts_of_one_encoder(tmp_path: Path) -> None:
    path = saved(tmp_path, **{"<mia>": torch.ones(4)})
    word = read_textual_inversion(path)
    assert word.word == "<mia>"
    assert torch.equal(word.vectors["text_encoder"], torch.ones(1, 4))
    assert read_textual_inversion(path, "mia*").word == "mia*"
    word = read_textual_inversion(saved(tmp_path, emb_params=torch.ones(2, 4).half()), "<mia>")
    assert word.tokens == ("<mia>", "<mia>_1")
    assert word.vectors["text_encoder"].dtype == torch.float32


def test_layout_of_two_encoders(tmp_path: Path) -> None:
    path = saved(tmp_path, clip_l=torch.ones(2, 4), clip_g=torch.ones(2, 6))
    word = read_textual_inversion(path, "<mia>")
    assert {part: tuple(v.shape) for part, v in word.vectors.items()} == {
        "text_encoder": (2, 4),
        "text_encoder_2": (2, 6),
    }


@pytest.mark.parametrize(
    ("tensors", "word", "text"),
    [
        ({"a": torch.ones(4), "b": torch.ones(4)}, "", "got a, b; one word, emb_params, or"),
        ({"emb_params": torch.ones(4)}, "", "word: got '', allowed a word without spaces"),
        ({"a b": torch.ones(4)}, "", "word: got 'a b', allowed a word without spaces"),
        ({"a": torch.full((4,), torch.nan)}, "", "allowed: finite embeddings"),
        ({"a": torch.ones(1, 2, 3)}, "", "allowed: finite embeddings"),
        ({"clip_l": torch.ones(2, 4), "clip_g": torch.ones(1, 4)}, "a", "different numbers"),
    ],
)
def test_what_is_no_learnt_word_is_refused(
    tensors: dict[str, Tensor], word: str, text: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, **tensors)
    with pytest.raises(TextualInversionError, match=text):
        read_textual_inversion(path, word)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "word.pt").write_bytes(b"pickled")
    with pytest.raises(TextualInversionError, match="allowed: a safetensors file"):
        read_textual_inversion(tmp_path / "word.pt")


def test_words_become_tokens_with_the_next_ids(bundled_tokenizer: CLIPTokenizer) -> None:
    size = len(bundled_tokenizer)
    mia = LearntWord("<mia>", {"text_encoder": torch.ones(2, 4)})
    table = extended(torch.zeros(size, 4).half(), "text_encoder", [mia])
    add_words(bundled_tokenizer, [mia])
    ids = bundled_tokenizer("a <mia> <mia>_1", add_special_tokens=False).input_ids
    assert ids[-2:] == [size, size + 1]
    assert table.dtype == torch.float16
    assert table[ids[-2:]].sum() == 8
    assert table[:size].abs().sum() == 0
    for word in ("<mia>", "<MIA>_1"):
        again = LearntWord(word, {"text_encoder": torch.ones(1, 4)})
        with pytest.raises(TextualInversionError, match=f"got '{word}', which is a token already"):
            add_words(bundled_tokenizer, [again])


def test_a_word_must_have_embeddings_of_the_right_width() -> None:
    word = LearntWord("<mia>", {"text_encoder": torch.ones(2, 4)})
    check_width([word], "text_encoder", 4)
    with pytest.raises(TextualInversionError, match="<mia>: width: got 4, text_encoder has 8"):
        check_width([word], "text_encoder", 8)
    with pytest.raises(TextualInversionError, match="<mia>: has no embeddings for text_encoder_2"):
        check_width([word], "text_encoder_2", 4)


@pytest.fixture
def bundled_tokenizer() -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
    return tokenizer
