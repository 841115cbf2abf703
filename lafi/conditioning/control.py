"""A control network's part in one panel: in which steps, how strongly, where. Knows no batch."""

from dataclasses import dataclass

from torch import Tensor

from lafi.sampling.window import whole_steps_in_window


@dataclass(frozen=True, slots=True, eq=False)
class PanelControl:
    """Prepared once for a panel's stage.

    network     as the model's engines call it
    condition   (C, h, w) float32: what the network made of the picture
    strength    by which its residuals are multiplied, as diffusers' `controlnet_conditioning_scale`
    start, end  shares of the stage's steps, as `lafi.sampling.window.whole_steps_in_window`
    region      (h, w) float32 in [0, 1]: where it steers; None: everywhere
    """

    network: str
    condition: Tensor
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    region: Tensor | None = None

    def acts(self, step: int, steps: int) -> bool:
        """Whether it has a part in step i of N."""
        return self.strength != 0.0 and whole_steps_in_window(step, steps, self.start, self.end)
