"""What control adapters add to a panel's rows: in which steps and how strongly. Knows no batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from lafi.sampling.window import whole_steps_in_window


@dataclass(frozen=True, slots=True, eq=False)
class PanelFeatures:
    """What an adapter made of one picture, prepared once for a panel's stage.

    features    by input of the denoiser, (C, h / d, w / d) float32, times strength and region
    strength    as diffusers' `adapter_conditioning_scale`; 0 is nothing
    start, end  shares of the stage's steps, as `lafi.sampling.window.whole_steps_in_window`
    """

    features: Mapping[str, Tensor]
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def acts(self, step: int, steps: int) -> bool:
        """Whether it has a part in step i of N."""
        return self.strength != 0.0 and whole_steps_in_window(step, steps, self.start, self.end)


@dataclass(frozen=True, slots=True, eq=False)
class ControlFeatures:
    """`lafi.conditioning.conditioner.Conditioner`: all control adapters of a panel's stage."""

    adapters: tuple[PanelFeatures, ...] = ()
    needs_regions: bool = False

    def acting(self, step: int, steps: int) -> tuple[PanelFeatures, ...]:
        """Those that have a part in step i of N."""
        return tuple(adapter for adapter in self.adapters if adapter.acts(step, steps))

    def ports(self, step: int, steps: int, *, conditional: bool) -> Mapping[str, Tensor]:
        """The sum of what acts, the same in both rows; nothing where none does."""
        sums: dict[str, Tensor] = {}
        for adapter in self.acting(step, steps):
            for name, feature in adapter.features.items():
                sums[name] = sums[name] + feature if name in sums else feature
        return sums


NO_FEATURES: Final = ControlFeatures()
