"""Pictures that act beside a panel's words: in which steps, how strongly, where. Knows no batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from lafi.model.picture_prompt_info import PICTURE_TOKENS, PICTURE_WEIGHTS
from lafi.sampling.window import whole_steps_in_window


@dataclass(frozen=True, slots=True, eq=False)
class PanelPicture:
    """One picture prompt, prepared once for a panel's stage.

    tokens      (K, D) float32: the picture's
    nothing     (K, D) float32: those that the row without prompt reads in their place
    weights     (h, w) float32: its strength, times its region in [0, 1]
    start, end  shares of the stage's steps, as `lafi.sampling.window.whole_steps_in_window`
    """

    tokens: Tensor
    nothing: Tensor
    weights: Tensor
    start: float = 0.0
    end: float = 1.0

    def acts(self, step: int, steps: int) -> bool:
        """Whether it has a part in step i of N."""
        inside = whole_steps_in_window(step, steps, self.start, self.end)
        return inside and bool(self.weights.any())


@dataclass(frozen=True, slots=True, eq=False)
class PicturePrompts:
    """`lafi.conditioning.conditioner.Conditioner`: all picture prompts of a panel's stage."""

    pictures: tuple[PanelPicture, ...] = ()
    needs_regions: bool = False

    def acting(self, step: int, steps: int) -> tuple[PanelPicture, ...]:
        """Those that have a part in step i of N."""
        return tuple(picture for picture in self.pictures if picture.acts(step, steps))

    def ports(self, step: int, steps: int, *, conditional: bool) -> Mapping[str, Tensor]:
        """Tokens (P, K, D) and weights (P, h, w) of those that act; nothing where none does."""
        acting = self.acting(step, steps)
        if not acting:
            return {}
        tokens = [picture.tokens if conditional else picture.nothing for picture in acting]
        return {
            PICTURE_TOKENS: torch.stack(tokens),
            PICTURE_WEIGHTS: torch.stack([picture.weights for picture in acting]),
        }


NO_PICTURES: Final = PicturePrompts()
