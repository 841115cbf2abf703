"""Model variants: a checkpoint with LoRA files merged in and learnt words added.

A variant is again a complete diffusers folder, so everything that takes a checkpoint takes a
variant. Weights are rewritten tensor by tensor; what does not change is linked, not copied.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
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
    """What makes a variant.

    name     a storyboard selects it by this
    loras    files and strengths, applied in order; strength 1 is as trained
    words    textual-inversion files and the word of each, "" where the file names its own
    """

    name: str
    loras: tuple[tuple[Path, float], ...] = ()
    words: tuple[tuple[Path, str], ...] = ()


def write_variant(checkpoint: Path, variant: Variant, folder: Path) -> None:
    """Writes the variant of a diffusers folder as a new diffusers folder.

    All files are read and checked before anything is written. Raises LoraError,
    TextualInversionError.
    """
    shapes = {part: _shapes(checkpoint / part) for part in _WEIGHT_PARTS}
    changes: dict[str, dict[str, list[tuple[LowRank, float]]]] = {}
    for path, strength in variant.loras:
        for part, modules in fit(read_lora(path), shapes).items():
            for name, change in modules.items():
                changes.setdefault(part, {}).setdefault(name, []).append((change, strength))
    words = [read_textual_inversion(path, word) for path, word in variant.words]
    parts = [part for part in _TOKENIZERS if shapes[part]] if words else []
    for part in parts:
        (width,) = (shape[1] for name, shape in shapes[part].items() if name.endswith(_TABLE))
        check_width(words, part, width)
    tokenizers = {part: _with_words(checkpoint / _TOKENIZERS[part], words) for part in parts}

    rewritten = {*changes, *parts}
    _link_tree(checkpoint, folder, leave={*rewritten, *(_TOKENIZERS[part] for part in parts)})
    for part in rewritten:
        growing = words if part in parts else []
        _rewrite_part(checkpoint / part, folder / part, part, changes.get(part, {}), growing)
    for part, tokenizer in tokenizers.items():
        tokenizer.save_pretrained(folder / _TOKENIZERS[part])


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
    changes: dict[str, list[tuple[LowRank, float]]],
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
    changes: dict[str, list[tuple[LowRank, float]]],
    words: Sequence[LearntWord],
) -> Tensor:
    if name in changes:
        tensor = merged(tensor, changes[name])
    return extended(tensor, part, words) if name.endswith(_TABLE) else tensor


def _link_tree(source: Path, target: Path, leave: set[str]) -> None:
    """Hard links of all files but those of the folders to leave; copies across file systems."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        return leave & set(names) if Path(folder) == source else set()

    shutil.copytree(source, target, ignore=ignore, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    copy: Callable[[str, str], object] = shutil.copy2
    try:
        os.link(source, target)
    except OSError:
        copy(source, target)
