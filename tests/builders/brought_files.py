"""Inputs as people bring them: what builds each, and the error that it is refused with, if any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lafi_export.checkpoint_variant import Variant
from lafi_export.variant_option import parse_variants


@dataclass(frozen=True)
class Brought:
    """One input.

    build  what makes the files; its arguments belong to the kind of input
    error  a regular expression that the refusal matches; "" where it has to be right
    """

    name: str
    build: Callable[..., Any]
    error: str = ""
    model: str = "sd15"

    def __str__(self) -> str:
        return self.name


def normal(*shape: int, seed: int = 0, scale: float = 0.3) -> Tensor:
    """float32 numbers that depend on shape and seed alone."""
    generator = torch.Generator().manual_seed(seed + 7919 * sum(shape))
    return scale * torch.randn(shape, generator=generator)


def saved(path: Path, tensors: Mapping[str, Tensor], notes: dict[str, str] | None = None) -> Path:
    """A safetensors file."""
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata=notes)
    return path


LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438\n"


def variant_of(option: str) -> Variant:
    """The variant that `--variant x=OPTION` names."""
    (variant,) = parse_variants([f"x={option}"])
    return variant
