"""Follows a LoRA file's numbers through diffusers' conversion into its own keys.

The converters scale factors by alpha / rank, split fused layers, and leave keys out without a
word. What they do to each tensor is read from gradients, so no converter is copied here. Knows
names and tensors, not networks.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from lafi_export.lora_file import LoraFile


@dataclass(frozen=True, slots=True)
class TracedTensor:
    """Where a tensor of a file went.

    whole   every number of it that is not 0 arrived
    places  fingerprint of a converted tensor that it is in -> what it was multiplied by
    """

    whole: bool
    places: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ConvertedLora:
    """A file under diffusers' keys, still connected to the file's own tensors."""

    tensors: Mapping[str, Tensor]
    leaves: Mapping[str, Tensor]

    @classmethod
    def unchanged(cls, file: LoraFile) -> "ConvertedLora":
        """A file that is taken as it is."""
        leaves = _leaves(file)
        return cls(leaves, leaves)

    def traced(self, arrived: Counter[str]) -> dict[str, TracedTensor]:
        """By the file's keys. arrived: fingerprints of what a pipeline took; those found go."""
        keys, leaves = list(self.leaves), list(self.leaves.values())
        reached = {key: leaf.detach() == 0 for key, leaf in self.leaves.items()}
        places: dict[str, dict[str, float]] = defaultdict(dict)
        for tensor in self.tensors.values():
            mark = fingerprint(tensor)
            if not arrived[mark]:
                continue
            arrived[mark] -= 1
            if not tensor.requires_grad:
                continue
            found = torch.autograd.grad(tensor.sum(), leaves, retain_graph=True, allow_unused=True)
            for key, slope in zip(keys, found, strict=True):
                if slope is not None and slope.any():
                    reached[key] |= slope != 0
                    places[key][mark] = float(slope.flatten()[slope.abs().argmax()])
        return {key: TracedTensor(bool(reached[key].all()), places[key]) for key in keys}


def convert(pipeline: Any, file: LoraFile, **known: Any) -> ConvertedLora:
    """The file as the pipeline's loader reads it. known: further arguments of that loader.

    Raises whatever diffusers raises for keys that it cannot convert.
    """
    leaves = _leaves(file)
    # Copies, because some converters multiply in place.
    given = file.with_alphas | {key: leaf.clone() for key, leaf in leaves.items()}
    found = pipeline.lora_state_dict(given, **known)
    tensors = found[0] if isinstance(found, tuple) else found
    return ConvertedLora(tensors, leaves)


def _leaves(file: LoraFile) -> dict[str, Tensor]:
    return {key: value.detach().requires_grad_() for key, value in file.tensors.items()}


def fingerprint(value: Tensor) -> str:
    """Of the numbers alone: loaders change shapes and dtypes, but no values."""
    plain = value.detach().to(torch.float32).contiguous().flatten()
    return sha256(plain.numpy().tobytes()).hexdigest()
