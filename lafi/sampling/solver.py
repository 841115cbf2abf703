"""`Solver`: one panel's way from noise to picture, call by call; what a sampler is built from.

Knows latents of one panel and its model's predictions, not who computes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.flow_shift import FlowShift
from lafi.sampling.noise_model import NoiseModel

SIGMA_OPTIONS = ("use_karras_sigmas", "use_beta_sigmas", "use_exponential_sigmas")
"""Of schedulers of diffusers that offer other noise levels than their own."""


@dataclass(frozen=True, slots=True)
class SolverPlan:
    """What a sampler is built from.

    stage   its `steps` are computed ones: the last of a schedule of `total` steps, 1 or more
    config  the scheduler config of the checkpoint
    shift   of a flow model's schedule; None in a diffusion
    """

    stage: SamplingStage
    config: Mapping[str, Any]
    noise_model: NoiseModel
    total: int
    shift: FlowShift | None = None

    @property
    def begin(self) -> int:
        """The first computed step of the schedule, from 0."""
        return self.total - self.stage.steps

    def sigma_options(self) -> dict[str, bool]:
        """Options of a diffusers scheduler for the stage's `sigmas`; `default` changes nothing."""
        chosen = self.stage.sigmas
        if chosen == "default":
            return {}
        return {name: name == f"use_{chosen}_sigmas" for name in SIGMA_OPTIONS}


class Solver(Protocol):
    """Takes one panel from noise to picture; a step is one call of the model, or several.

    Latents are (C, h, w) float32 in the solver's own scale; `scale` gives what the model sees.
    """

    @property
    def timesteps(self) -> Sequence[float]:
        """Of all calls of the computed steps, in training timesteps."""
        ...

    @property
    def call(self) -> int:
        """Calls that were made, from 0 to len(timesteps)."""
        ...

    @property
    def index(self) -> int:
        """Whole steps that were finished, from 0 to the stage's `steps`."""
        ...

    @property
    def midway(self) -> bool:
        """Whether the coming call goes on with a step that was begun."""
        ...

    def pure_noise(self, noise: Tensor) -> Tensor:
        """Standard normal noise as latents before the first step of a whole schedule."""
        ...

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Clean latents with that noise at the level of the coming call; clean after the last."""
        ...

    def scale(self, latents: Tensor) -> Tensor:
        """Latents as the model wants to see them at the coming call."""
        ...

    def step(self, prediction: Tensor, latents: Tensor, generator: torch.Generator) -> Tensor:
        """The coming call's prediction and the latents to new latents, maybe midway in a step."""
        ...
