"""`TorchFamily`: how one kind of denoiser is loaded and run in torch.

Facts that do not need the weights are in `lafi.model.family.Family`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lafi.engine.torch.text_stack import TorchTextStack
from lafi.model.bank_groups import BankGroup
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch


class TorchFamily(Protocol):
    """How a denoiser is loaded, prepared for injection, and run."""

    @property
    def name(self) -> str:
        """As in `ModelInfo.family`."""

    @property
    def part(self) -> str:
        """The folder of the denoiser in a checkpoint, such as `unet`."""

    @property
    def module_class(self) -> Any:
        """Its class in diffusers, with `from_config`, `load_config` and `from_pretrained`."""

    @property
    def text(self) -> TorchTextStack:
        """Its text encoders: the torch side of `lafi.model.family.Family.text`."""

    def install(self, module: Any, info: ModelInfo) -> None:
        """Make its self-attention take routes as an argument. info: of the very model."""

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """Rows on the module's device -> (B, C, h, w) there, in the module's dtype.

        Reads no values of tensors, so that it can be traced and captured in a CUDA graph.
        """

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """Keys and values of every self-attention layer, one entry per row."""


def load_denoiser(
    family: TorchFamily, folder: Path, dtype: torch.dtype, variant: str | None
) -> nn.Module:
    """The denoiser of a diffusers folder, on the CPU."""
    module: nn.Module = family.module_class.from_pretrained(
        folder / family.part, torch_dtype=dtype, variant=variant
    )
    return module
