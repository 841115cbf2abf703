"""Textual-inversion files: learnt words for text encoders (arXiv:2208.01618), read by diffusers.

Knows names of tensors, tokenizers and embedding tables, not how texts are encoded.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.model.tensor_file import TensorFileError, is_safetensors
from lafi_export.bare_pipeline import quiet_libraries
from lafi_export.tensor_reading import load_pickled, read_tensors, some

_PART_OF_KEY: Final = {
    "clip_l": "text_encoder",
    "clip_g": "text_encoder_2",
    "text_encoders_0": "text_encoder",
    "text_encoders_1": "text_encoder_2",
}
_NAMELESS: Final = ("emb_params", "*", "string_to_param.*")
"""Keys of web interfaces that do not name the word."""
_MARKS: Final = 2
"""Tokens that begin and end a text."""


class TextualInversionError(ValueError):
    """A file cannot be read, or its word or width does not fit the checkpoint."""


@dataclass(frozen=True, slots=True)
class LearntWord:
    """A word with one or more embeddings.

    word      as written in prompts
    vectors   part of the checkpoint (`text_encoder`, `text_encoder_2`) -> (n, D) float32
    """

    path: Path
    word: str
    vectors: Mapping[str, Tensor]


def are_learnt_words(keys: Collection[str]) -> bool:
    """Whether these tensors may be a textual inversion: one for each text encoder."""
    return len(keys) == 1 or (bool(keys) and set(keys) <= _PART_OF_KEY.keys())


def read_word(path: Path, word: str = "") -> LearntWord:
    """Reads a file; `word` is for a file that does not name its word, or to rename it.

    Raises TextualInversionError for another kind of file, more than one word, values that are
    not finite, or a word that is empty or has a space in it.
    """
    try:
        tensors, named = _tensors(path)
    except TensorFileError as error:
        raise TextualInversionError(str(error)) from error
    vectors = {key: torch.atleast_2d(value) for key, value in tensors.items()}
    for key, value in vectors.items():
        whole = value.ndim == 2 and value.numel() and value.is_floating_point()
        if not whole or not torch.isfinite(value.float()).all():
            got = f"{list(value.shape)} of {value.dtype}" if not whole else "others"
            raise TextualInversionError(f"{path}: {key}: got {got}, allowed finite numbers (n, D)")
    if vectors.keys() and vectors.keys() <= _PART_OF_KEY.keys():
        parts = {_PART_OF_KEY[key]: value.float() for key, value in vectors.items()}
    elif len(vectors) == 1:
        ((key, value),) = vectors.items()
        named = named or ("" if key in _NAMELESS else key)
        parts = {"text_encoder": value.float()}
    else:
        keys = ", ".join(_PART_OF_KEY)
        raise TextualInversionError(
            f"{path}: got {some(vectors) or 'nothing'}; allowed one word, {_NAMELESS[0]}, or {keys}"
        )
    word = word or named
    if not word or not word.isprintable() or any(c.isspace() for c in word):
        raise TextualInversionError(
            f"{path}: word: got {word!r}, allowed a word without spaces, after the file and a colon"
        )
    if len({len(value) for value in parts.values()}) > 1:
        raise TextualInversionError(f"{path}: the encoders have different numbers of embeddings")
    return LearntWord(path, word, parts)


def check_takes_words(pipeline: Any, path: Path) -> None:
    """Raises TextualInversionError for a pipeline that is not of Stable Diffusion 1, 2 or XL.

    Where T5 or Qwen reads the text too, it would read the word's letters.
    """
    if not hasattr(pipeline, "unet"):
        kind = type(pipeline).__name__
        raise TextualInversionError(
            f"{path}: got a learnt word for {kind}; allowed with: Stable Diffusion 1, 2 and XL"
        )


def load_words(
    pipeline: Any, words: Sequence[LearntWord], encoders: Mapping[str, str], length: int
) -> tuple[str, ...]:
    """Puts the words into the pipeline's tokenizers and embedding tables; returns their tokens.

    encoders: text encoder -> tokenizer, names of parts. length: tokens of a text.
    Raises TextualInversionError for a word that the tokenizer has already (upper and lower case
    are the same), has not for each encoder, or in another width; for an embedding table with other
    rows than the tokenizer has tokens; and for a word that leaves no room in a text.
    """
    tokens: tuple[str, ...] = ()
    for part, tokenizer_name in encoders.items():
        tokenizer, encoder = getattr(pipeline, tokenizer_name), getattr(pipeline, part)
        size = len(tokenizer)
        table = encoder.get_input_embeddings().weight
        if len(table) != size:
            raise TextualInversionError(
                f"{part}: got an embedding table of {len(table)} rows, allowed {size}, one for "
                "each token, where words are to be added"
            )
        for word in words:
            _check(word, part, encoders, tokenizer, table.shape[1], length)
            with quiet_libraries():
                pipeline.load_textual_inversion(
                    word.vectors[part], token=word.word, tokenizer=tokenizer, text_encoder=encoder
                )
        tokens = tuple(tokenizer.convert_ids_to_tokens(range(size, len(tokenizer))))
    return tokens


def add_tokens(tokenizer: CLIPTokenizer, tokens: Sequence[str]) -> None:
    """Adds learnt words' tokens in place, with the next free ids in order, each a whole word.

    `sks` is then not found inside `tasks`. A word that ends with a sign, such as `<mia>`, needs
    no space beside it, nor does one in a script without spaces.
    """
    tokenizer.add_tokens(
        [AddedToken(token, single_word=_spaced(token), normalized=True) for token in tokens]
    )


def _tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors by their keys, and the word that the file gives beside them."""
    if is_safetensors(path):
        return read_tensors(path)[0], ""
    content = load_pickled(path)
    if isinstance(content, Tensor):
        return {_NAMELESS[0]: content}, ""
    if isinstance(content, Mapping) and isinstance(content.get("string_to_param"), Mapping):
        # Web interfaces name their files, not their words; diffusers takes this name.
        inner = {str(key): value for key, value in content["string_to_param"].items()}
        return {key: value.detach() for key, value in inner.items()}, str(content.get("name", ""))
    if isinstance(content, Mapping):
        found = {str(k): v.detach() for k, v in content.items() if isinstance(v, Tensor)}
        if len(found) == len(content):
            return found, ""
    raise TensorFileError(f"{path}: holds no embeddings; allowed: a textual inversion")


def _check(
    word: LearntWord,
    part: str,
    encoders: Mapping[str, str],
    tokenizer: CLIPTokenizer,
    width: int,
    length: int,
) -> None:
    extra = [other for other in word.vectors if other not in encoders]
    if extra:
        raise TextualInversionError(
            f"{word.path}: {word.word}: has embeddings for {', '.join(extra)}, which this "
            f"checkpoint has not; allowed: {', '.join(encoders)}"
        )
    vectors = word.vectors.get(part)
    if vectors is None:
        raise TextualInversionError(f"{word.path}: {word.word}: has no embeddings for {part}")
    if vectors.shape[1] != width:
        raise TextualInversionError(
            f"{word.path}: {word.word}: width: got {vectors.shape[1]}, {part} has {width}"
        )
    room = length - _MARKS - 1
    if len(vectors) > room:
        raise TextualInversionError(
            f"{word.path}: {word.word}: got {len(vectors)} embeddings, allowed {room}: a text has "
            f"{length} tokens, and the rest of the prompt would be cut off"
        )
    names = [word.word, *(f"{word.word}_{i}" for i in range(1, len(vectors)))]
    known = {token.lower() for token in tokenizer.get_vocab()}
    taken = [name for name in names if name.lower() in known]
    if taken:
        raise TextualInversionError(
            f"{word.path}: word: got {taken[0]!r}, which is a token already; allowed: another word"
        )


def _spaced(token: str) -> bool:
    """Whether it begins or ends with a letter of a script with spaces, a digit or `_`."""
    return any(c == "_" or c.isdigit() or c.lower() != c.upper() for c in (token[0], token[-1]))
