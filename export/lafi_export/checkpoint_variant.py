"""Model variants: a checkpoint with LoRA files merged in and learnt words added.

A variant is a complete diffusers folder too, so it can be used like any checkpoint. Weights are
rewritten tensor by tensor; unchanged files are linked, not copied.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from torch import Tensor
from transformers import CLIPTokenizer

from lafi_export.lora import LowRank, fit, merged, read_lora
from lafi_export.textual_inversion import (
    LearntWord,
    add_words,
    check_rows,
    check_width,
    extended,
    read_textual_inversion,
)
from lafi_export.weights_file import rewrite_weights, tensor_shapes

_TOKENIZERS: Final = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
_WEIGHT_PARTS: Final = ("unet", *_TOKENIZERS)
_TABLE: Final = "embeddings.token_embedding.weight"


@dataclass(frozen=True, slots=True)
class Variant:
    """The files that make a variant.

    name     used by storyboards to select it
    loras    files and strengths, applied in order; strength 1 is as trained
    words    textual-inversion files, each with its word, or "" if the file names its word
    """

    name: str
    loras: tuple[tuple[Path, float], ...] = ()
    words: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """The changes of a variant to one checkpoint, read and checked.

    changes  part -> weight name -> its low-rank changes, each with a strength
    words    learnt words, in the order of their token ids
    texts    parts whose embedding tables get the new words: all text encoders, or none
    """

    changes: Mapping[str, Mapping[str, Sequence[tuple[LowRank, float]]]]
    words: tuple[LearntWord, ...]
    texts: tuple[str, ...]

    @property
    def parts(self) -> frozenset[str]:
        """Parts of the checkpoint whose weights change."""
        return frozenset({*self.changes, *self.texts})

    @property
    def tokens(self) -> tuple[str, ...]:
        """The learnt words' tokens, in the order of their ids."""
        return tuple(token for word in self.words for token in word.tokens)


def plan_variant(checkpoint: Path, variant: Variant) -> VariantPlan:
    """Reads a variant's files and matches them to a diffusers folder; writes nothing.

    Raises LoraError or TextualInversionError, which name the keys or the word that do not fit.
    """
    shapes = {part: _shapes(checkpoint / part) for part in _WEIGHT_PARTS}
    changes: dict[str, dict[str, list[tuple[LowRank, float]]]] = {}
    for path, strength in variant.loras:
        for part, modules in fit(read_lora(path), shapes).items():
            for name, change in modules.items():
                changes.setdefault(part, {}).setdefault(name, []).append((change, strength))
    words = tuple(read_textual_inversion(path, word) for path, word in variant.words)
    texts = tuple(part for part in _TOKENIZERS if shapes[part]) if words else ()
    for part in texts:
        ((rows, width),) = (shape for name, shape in shapes[part].items() if name.endswith(_TABLE))
        check_width(words, part, width)
        tokenizer = _with_words(checkpoint / _TOKENIZERS[part], words)
        # New ids start at the tokenizer's size, new rows at the table's: both must be equal.
        check_rows(part, rows, len(tokenizer) - sum(len(word.tokens) for word in words))
    return VariantPlan(changes, words, texts)


def write_variant(checkpoint: Path, plan: VariantPlan, folder: Path) -> None:
    """Writes the variant of a diffusers folder as a new diffusers folder."""
    _link_tree(checkpoint, folder, leave={*plan.parts, *(_TOKENIZERS[part] for part in plan.texts)})
    for part in sorted(plan.parts):
        growing = plan.words if part in plan.texts else ()
        _rewrite_part(checkpoint / part, folder / part, part, plan.changes.get(part, {}), growing)
    for part in plan.texts:
        name = _TOKENIZERS[part]
        _with_words(checkpoint / name, plan.words).save_pretrained(folder / name)


def _shapes(part: Path) -> dict[str, tuple[int, ...]]:
    return {k: v for file in part.glob("*.safetensors") for k, v in tensor_shapes(file).items()}


def _with_words(folder: Path, words: Sequence[LearntWord]) -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    add_words(tokenizer, words)
    return tokenizer


def _rewrite_part(
    source: Path,
    target: Path,
    part: str,
    changes: Mapping[str, Sequence[tuple[LowRank, float]]],
    words: Sequence[LearntWord],
) -> None:
    target.mkdir(parents=True)
    grown = sum(len(word.tokens) for word in words)
    change = partial(_change, part=part, changes=changes, words=words)
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            shutil.copyfile(file, target / file.name)
            continue
        shapes = tensor_shapes(file)
        larger = {n: (s[0] + grown, *s[1:]) for n, s in shapes.items() if n.endswith(_TABLE)}
        rewrite_weights(file, target / file.name, change, larger)
    if words:
        config = json.loads((target / "config.json").read_text(encoding="utf-8"))
        config["vocab_size"] += grown
        (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _change(
    name: str,
    tensor: Tensor,
    *,
    part: str,
    changes: Mapping[str, Sequence[tuple[LowRank, float]]],
    words: Sequence[LearntWord],
) -> Tensor:
    if name in changes:
        tensor = merged(tensor, changes[name])
    return extended(tensor, part, words) if name.endswith(_TABLE) else tensor


def _link_tree(source: Path, target: Path, leave: set[str]) -> None:
    """Hard-links all files except those of some folders; copies them across file systems."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        return leave & set(names) if Path(folder) == source else set()

    shutil.copytree(source, target, ignore=ignore, copy_function=link_or_copy)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Hard-links a file; copies it if the file system has no hard links or differs."""
    copy: Callable[[Path | str, Path | str], object] = shutil.copy2
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)
