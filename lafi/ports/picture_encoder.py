"""What the core asks of an image encoder with an adapter's projection: pictures as tokens."""

from typing import Protocol

from torch import Tensor


class PictureEncoder(Protocol):
    """Sees each picture once; its tokens are what cross-attention reads."""

    def __call__(self, pictures: Tensor, /) -> Tensor:
        """RGB (B, 3, S, S) float32, normalised as CLIP sees pictures -> tokens (B, K, D) float32.

        S: `lafi.model.picture_prompt_info.PicturePromptInfo.side`.
        """

    def nothing(self) -> Tensor:
        """(1, K, D) float32: what the row without prompt reads, no picture as diffusers has it."""
