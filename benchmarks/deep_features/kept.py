"""A torch UNet that reuses kept deep features, to see the effect on pictures.

It still computes everything and discards the deep features, so it saves no time; `cut.py` counts
the possible savings. Knows one UNet and its calls, neither panels nor schedules.
"""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.deep_features.cut import Cut, kept_channels
from lafi.ports.engines import Denoiser, DenoiserBatch


class KeptFeatures:
    """If `taken` is true, a call uses the features before the cut of the last whole call."""

    def __init__(self, unet: nn.Module, cut: Cut) -> None:
        self.taken = False
        self._channels = kept_channels(unet, cut)
        self._features: Tensor | None = None
        self._hook = unet.get_submodule(cut.resnet).register_forward_pre_hook(self._replace)

    def remove(self) -> None:
        """Restore the UNet."""
        self._hook.remove()

    def _replace(self, _: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        features, skip = given[0][:, : self._channels], given[0][:, self._channels :]
        if not self.taken:
            self._features = features.clone()
            return None
        assert self._features is not None, "the first call must be whole"
        return torch.cat([self._features, skip], dim=1), *given[1:]


class IntervalDenoiser:
    """A denoiser of panels in lockstep, one call a step: every N-th call is whole.

    Calls in `always` are whole too, for example where injection switches.
    """

    def __init__(
        self, denoiser: Denoiser, kept: KeptFeatures, interval: int, always: frozenset[int]
    ) -> None:
        self._denoiser = denoiser
        self._kept = kept
        self._interval = interval
        self._always = always
        self.step = 0

    def whole(self, step: int) -> bool:
        """Whether the call of this step runs the deep blocks."""
        return step % self._interval == 0 or step in self._always

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        self._kept.taken = not self.whole(self.step)
        self.step += 1
        return self._denoiser(batch)
