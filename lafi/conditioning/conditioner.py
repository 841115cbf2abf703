"""`Conditioner`: an extra input of a panel beside its prompt, in some of its steps.

A conditioner is prepared once for a panel, whatever it costs, and then gives each of the panel's
rows what inputs of the denoiser (`lafi.model.input_port`) it has. Knows no batch and no engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lafi.model.input_port import WORDS


class Conditioner(Protocol):
    """Prepared for one panel and one size of latents."""

    @property
    def needs_regions(self) -> bool:
        """Whether the row needs the panel's regions even where it reads no reference."""

    def ports(self, step: int, steps: int, *, conditional: bool) -> Mapping[str, Tensor]:
        """Inputs by name for one row at step `step` of `steps`, each without the batch.

        conditional: the row with prompt. Nothing outside its window.
        """


@dataclass(frozen=True, slots=True)
class LimitedWords:
    """Words of a prompt that act in a character's region only.

    slots  (T,) int32: for each token of the prompt the place of its region, or -1 for everywhere
    """

    slots: Tensor
    needs_regions: bool = True

    def ports(self, step: int, steps: int, *, conditional: bool) -> Mapping[str, Tensor]:
        """The input `words` of the row with prompt, in every step."""
        return {WORDS: self.slots} if conditional else {}


@dataclass(frozen=True, slots=True)
class FixedPorts:
    """Inputs that both rows of a panel have in every step, such as an embedded guidance scale."""

    values: Mapping[str, Tensor]
    needs_regions: bool = False

    def ports(self, step: int, steps: int, *, conditional: bool) -> Mapping[str, Tensor]:
        """As given."""
        return self.values
