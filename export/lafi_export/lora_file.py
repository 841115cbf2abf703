"""What a LoRA file says of its own scales, checked before diffusers reads it.

Knows names of tensors and the notes in a file's header, not networks.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from lafi.model.tensor_file import TensorFileError
from lafi_export.tensor_reading import read_tensors, some

_ALPHA: Final = ".alpha"
_UP_OF_DOWN: Final = {
    ".lora_down.weight": ".lora_up.weight",
    ".lora_A.weight": ".lora_B.weight",
    ".lora.down.weight": ".lora.up.weight",
}
_METADATA: Final = "lora_adapter_metadata"
"""diffusers' note in a header: peft's settings, as JSON."""
_HEADER_ALPHAS: Final = ("alpha", "lora_alpha", "network_alpha", "ss_network_alpha")
"""Notes of trainers, which diffusers does not read."""
_SCALE_FIELDS: Final = ("lora_alpha", "alpha", "r")
_PATTERN_FIELDS: Final = ("alpha_pattern", "rank_pattern")
_MARKS: Final = ("lora", "hada_", "lokr_", "dora_scale")


class LoraError(ValueError):
    """A LoRA file cannot be read or does not fit; the text names the keys."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A file's tensors, without its alphas, and what it says of the scales.

    alphas    name before `.alpha` -> value, finite and not 0
    settings  peft's settings from the header; None if it has none
    """

    path: Path
    tensors: Mapping[str, Tensor]
    alphas: Mapping[str, float]
    settings: Mapping[str, Any] | None

    @property
    def kind(self) -> str:
        """`lora`, or by the names of its factors `loha` or `lokr`."""
        if any(".hada_" in key for key in self.tensors):
            return "loha"
        return "lokr" if any(".lokr_" in key for key in self.tensors) else "lora"

    @property
    def with_alphas(self) -> dict[str, Tensor]:
        """All tensors, as they are in the file."""
        return dict(self.tensors) | {
            f"{name}{_ALPHA}": torch.tensor(value) for name, value in self.alphas.items()
        }

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """Name before the role, and both keys, of every pair of factors; the second may be absent.

        The first key's tensor (r, ...) is applied first.
        """
        for key in self.tensors:
            for down, up in _UP_OF_DOWN.items():
                if key.endswith(down):
                    name = key.removesuffix(down)
                    yield name, key, f"{name}{up}"

    def downs(self) -> Iterator[Tensor]:
        """Every factor (r, ...) that is applied first."""
        return (self.tensors[down] for _, down, _ in self.pairs())


def is_lora_key(key: str) -> bool:
    """Whether a tensor of this name is one of a LoRA, or of a kind like it."""
    return any(mark in key for mark in _MARKS)


def read_lora(path: Path) -> LoraFile:
    """Reads a file and checks its numbers.

    Raises LoraError for a damaged file, values that are not finite, an alpha or a scale in the
    header that is not finite or 0 (it would change nothing), and a header whose alpha no tensor
    holds and which therefore diffusers would not apply.
    """
    try:
        tensors, notes = read_tensors(path)
    except TensorFileError as error:
        raise LoraError(str(error)) from error
    factors = {key: value for key, value in tensors.items() if not key.endswith(_ALPHA)}
    if not any(is_lora_key(key) for key in factors):
        named = some(tensors) or "no tensors"
        raise LoraError(f"{path}: got {named}; allowed: a LoRA file of diffusers, peft or kohya")
    broken = [key for key, value in factors.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise LoraError(f"{path}: values that are not finite in {some(broken)}")
    alphas = {
        key.removesuffix(_ALPHA): _alpha(path, key, value)
        for key, value in tensors.items()
        if key.endswith(_ALPHA)
    }
    file = LoraFile(path, factors, alphas, _settings(path, notes))
    _check_notes(file, notes)
    return file


def _alpha(path: Path, key: str, value: Tensor) -> float:
    if value.numel() != 1:
        raise LoraError(f"{path}: {key}: got {list(value.shape)}, allowed one number")
    return _scale(path, key, value.item())


def _scale(path: Path, name: str, value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or not value:  # type: ignore[arg-type]
        raise LoraError(f"{path}: {name}: got {value!r}, allowed a finite number other than 0")
    return float(value)  # type: ignore[arg-type]


def _settings(path: Path, notes: Mapping[str, str]) -> dict[str, Any] | None:
    """peft's settings as diffusers keeps them: `unet.r`, `text_encoder.lora_alpha` ..."""
    if not notes.get(_METADATA):
        return None
    try:
        settings: dict[str, Any] = dict(json.loads(notes[_METADATA]))
    except (ValueError, TypeError) as error:
        raise LoraError(f"{path}: header: {_METADATA}: no JSON mapping ({error})") from error
    for part in dict.fromkeys(name.partition(".")[0] for name in settings):
        if not settings.get(f"{part}.target_modules"):
            raise LoraError(
                f"{path}: header: {_METADATA}: got nothing as {part}.target_modules, allowed the "
                "modules that the file changes"
            )
    for name, value in settings.items():
        field = name.rpartition(".")[2]
        if field in _SCALE_FIELDS:
            _scale(path, f"header: {name}", value)
        if field in _PATTERN_FIELDS:
            for module, inner in dict(value or {}).items():
                _scale(path, f"header: {name}: {module}", inner)
    return settings


def _check_notes(file: LoraFile, notes: Mapping[str, str]) -> None:
    """A scale that only a trainer's note has would be lost, unless it is 1."""
    if file.alphas or file.settings is not None:
        return
    ranks = {tensor.shape[0] for tensor in file.downs() if tensor.ndim > 1}
    for name in _HEADER_ALPHAS:
        try:
            alpha = float(notes.get(name, "none"))
        except ValueError:
            continue
        if not ranks <= {alpha}:
            raise LoraError(
                f"{file.path}: header: {name}: got {alpha:g} for rank "
                f"{', '.join(map(str, sorted(ranks)))}, but no tensor holds it and diffusers would "
                f"draw without it; allowed: `.alpha` tensors, {_METADATA}, or an alpha as the rank"
            )
