"""What the core asks of a control network: a picture's condition once, residuals at each step."""

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
