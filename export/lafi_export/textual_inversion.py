"""Textual-inversion files: learnt words for a text encoder (arXiv:2208.01618).

Reads safetensors files of diffusers, the web interfaces and SDXL trainers. Knows
embedding tables and tokenizers, not networks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTokenizer

_PART_OF_KEY: Final = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
_ONLY_KEY: Final = "emb_params"


class TextualInversionError(ValueError):
    """A file cannot be read, or its word or width does not fit the checkpoint."""


@dataclass(frozen=True, slots=True)
class LearntWord:
    """A word with one or more embeddings.

    word      as written in prompts
    vectors   part of the checkpoint (`text_encoder`, `text_encoder_2`) -> (n, D) float32
    """

    word: str
    vectors: Mapping[str, Tensor]

    @property
    def tokens(self) -> tuple[str, ...]:
        """One token per embedding, named as in diffusers: `word`, `word_1`, `word_2` ..."""
        count = len(next(iter(self.vectors.values())))
        return (self.word, *(f"{self.word}_{i}" for i in range(1, count)))


def are_learnt_words(keys: Collection[str]) -> bool:
    """Whether these tensors may be a textual inversion: one for each text encoder."""
    return len(keys) == 1 or (bool(keys) and set(keys) <= _PART_OF_KEY.keys())


def read_textual_inversion(path: Path, word: str = "") -> LearntWord:
    """Reads a safetensors file; `word` is for a file that does not name its word.

    Raises TextualInversionError for another kind of file, more than one word, values that are
    not finite, or a word that is empty or has a space in it.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise TextualInversionError(f"{path}: {error}; allowed: a safetensors file") from error
    vectors = {key: torch.atleast_2d(value).float() for key, value in tensors.items()}
    if any(v.ndim != 2 or not torch.isfinite(v).all() for v in vectors.values()):
        raise TextualInversionError(f"{path}: allowed: finite embeddings (n, width)")
    if vectors.keys() and vectors.keys() <= _PART_OF_KEY.keys():
        parts = {_PART_OF_KEY[key]: value for key, value in vectors.items()}
    elif len(vectors) == 1:
        ((key, value),) = vectors.items()
        word = word or ("" if key == _ONLY_KEY else key)
        parts = {"text_encoder": value}
    else:
        allowed = f"one word, {_ONLY_KEY}, or {' and '.join(_PART_OF_KEY)}"
        raise TextualInversionError(f"{path}: got {', '.join(vectors) or 'nothing'}; {allowed}")
    if not word or any(c.isspace() for c in word):
        raise TextualInversionError(f"{path}: word: got {word!r}, allowed a word without spaces")
    if len({len(value) for value in parts.values()}) > 1:
        raise TextualInversionError(f"{path}: the encoders have different numbers of embeddings")
    return LearntWord(word, parts)


def add_words(tokenizer: CLIPTokenizer, words: Sequence[LearntWord]) -> None:
    """Adds the words' tokens to the tokenizer, in place, with the next free ids in order.

    Raises TextualInversionError for a word that the tokenizer has already, in upper or lower case:
    CLIP's tokenizers ignore case.
    """
    for word in words:
        known = {token.lower() for token in tokenizer.get_vocab()}
        taken = [token for token in word.tokens if token.lower() in known]
        if taken:
            raise TextualInversionError(f"word: got {taken[0]!r}, which is a token already")
        tokenizer.add_tokens(list(word.tokens))


def check_width(words: Sequence[LearntWord], part: str, width: int) -> None:
    """Raises TextualInversionError for a word without embeddings (n, width) for this part."""
    for word in words:
        vectors = word.vectors.get(part)
        if vectors is None:
            raise TextualInversionError(f"{word.word}: has no embeddings for {part}")
        if vectors.shape[1] != width:
            raise TextualInversionError(
                f"{word.word}: width: got {vectors.shape[1]}, {part} has {width}"
            )


def check_rows(part: str, rows: int, tokens: int) -> None:
    """Raises TextualInversionError if the embedding table has not one row per token.

    Words are added at the end of both; with different sizes their ids would not match their rows.
    """
    if rows != tokens:
        raise TextualInversionError(
            f"{part}: got an embedding table of {rows} rows, allowed {tokens}, one for each token, "
            "where words are to be added"
        )


def extended(table: Tensor, part: str, words: Sequence[LearntWord]) -> Tensor:
    """An embedding table (V, D) with the words' rows appended, in the table's dtype."""
    return torch.cat([table, *(word.vectors[part].to(table.dtype) for word in words)])
