"""What the core asks of what steers a denoiser by pictures.

Of a control network a picture's condition once, and residuals at each step; of a control adapter a
picture's features once.
"""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class ControlNetwork(Protocol):
    """Steers a denoiser of its own architecture by a picture."""

    def condition(self, pictures: Tensor, /) -> Tensor:
        """RGB (B, 3, H, W) float32 in [0, 1] -> (B, C, h, w) float32, of the latents' size."""

    def residuals(self, rows: Mapping[str, Tensor], /) -> tuple[Tensor, ...]:
        """Inputs by name -> a residual for each of the denoiser's ports for them, in their order.

        rows: as `lafi.model.control_info.network_ports` lists them, each (B, ...).
        """


class ControlAdapter(Protocol):
    """Steers a denoiser that it was made for by a picture, whatever is drawn with it."""

    def features(self, pictures: Tensor, /) -> tuple[Tensor, ...]:
        """RGB or grey (B, C, H, W) float32 in [0, 1] -> (B, C', h / d, w / d) float32 each.

        One for each of the denoiser's ports for them (`lafi.model.control_info.feature_ports`), in
        their order; the last of these may be missing. C: as the model's facts say.
        """
