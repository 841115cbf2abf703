"""`TorchTextStack`: how the text encoders of a model are loaded and run in torch.

Facts that do not need the weights are in `lafi.model.text_stack.TextStack`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


class TorchTextStack(Protocol):
    """The networks of a text stack, one for each of its parts that a checkpoint has."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """The network of a part's folder, on the CPU. variant: as diffusers names weight files."""

    def without_weights(self, part: Path) -> nn.Module:
        """The network of a part's folder, its weights on torch's meta device.

        What is not among its weights has values. Built of operators that the exporter writes well.
        """

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """`lafi.ports.text_tensors` on the models' device -> `TextStack.outputs`, each (B, ...).

        inputs: token ids (B, ...), and clip_skip (B, 1), which only a stack that skips layers has.
        In the models' dtype. Can be traced.
        """
