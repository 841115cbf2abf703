"""One noise schedule per panel: a sampler with a generator of its own.

Knows latents of one panel, not the batch it is denoised in and not the model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.flow_shift import flow_shift
from lafi.sampling.noise_model import noise_kind, noise_model_of
from lafi.sampling.samplers import check_stage, sampler_offer, schedule_steps, with_sampler
from lafi.sampling.solver import Solver, SolverPlan


class PanelSchedule:
    """Where one panel stands between noise and picture, in one stage.

    A stage computes the last `steps` of a schedule of round(steps / denoise) steps. A step is one
    call of the model, or two (Heun, DPM++SDE); `index` counts whole steps from 0 to `steps`.
    Its generator is seeded on the CPU, so that noise depends on the seed alone and stochastic
    samplers repeat. All latents are (C, h, w) float32.
    """

    def __init__(
        self,
        stage: SamplingStage,
        config: Mapping[str, Any],
        seed: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        """config: the scheduler config of the checkpoint.

        size: (h, w) of the picture in tokens of the model, asked for only where a flow's shift
        follows it. Raises ValueError as `check_stage` and `flow_shift`.
        """
        check_stage(stage, config)
        stage = with_sampler(stage, config)
        kind = noise_kind(config)
        shift = flow_shift(stage, config, size) if kind == "flow" else None
        self._noise_model = noise_model_of(config, shift.value if shift is not None else None)
        plan = SolverPlan(stage, config, self._noise_model, schedule_steps(stage), shift)
        self._solver: Solver = sampler_offer(str(stage.sampler), kind).build(plan)
        self._generator = torch.Generator(device="cpu").manual_seed(seed)
        self._noise: Tensor | None = None
        self.steps = stage.steps

    @property
    def index(self) -> int:
        """Whole steps that were finished."""
        return self._solver.index

    @property
    def midway(self) -> bool:
        """Whether the coming call completes a step that was begun."""
        return self._solver.midway

    @property
    def done(self) -> bool:
        return self.index >= self.steps

    @property
    def timesteps(self) -> Sequence[float]:
        """Of every call of the stage, in training timesteps; as many as there are calls."""
        return self._solver.timesteps

    @property
    def timestep(self) -> float:
        """Of the coming call, in training timesteps."""
        return self._solver.timesteps[self._solver.call]

    @property
    def noise_share(self) -> float:
        """Of the coming call: how far through the model's noise schedule, 0 noise, 1 picture."""
        return self._noise_model.noise_share(self.timestep)

    def initial_noise(self, shape: tuple[int, int, int]) -> Tensor:
        """Latents of shape (C, h, w) for a stage that begins with noise alone.

        The same noise as that of `start`; called once, before the first step.
        """
        return self._solver.pure_noise(self._fixed_noise(shape))

    def start(self, latents: Tensor) -> Tensor:
        """Clean latents with noise at the level of the first computed step."""
        return self.noised_original(latents)

    def noised_original(self, latents: Tensor) -> Tensor:
        """Clean latents at the level of the coming call, with the stage's own noise.

        That noise is one for the whole stage; after the last step they are clean.
        """
        channels, height, width = latents.shape
        return self._solver.noised(latents, self._fixed_noise((channels, height, width)))

    def keep(self, latents: Tensor, original: Tensor, mask: Tensor) -> Tensor:
        """Latents where the mask is 1 and the clean original, at the same level, where it is 0.

        mask: (h, w) or (1, h, w) in [0, 1]. To be called after every call of `step`.
        """
        return (1.0 - mask) * self.noised_original(original) + mask * latents

    def scale(self, latents: Tensor) -> Tensor:
        """Latents as the model wants to see them at the coming call."""
        return self._solver.scale(latents)

    def step(self, prediction: Tensor, latents: Tensor) -> Tensor:
        """The model's prediction for the coming call, and the latents, to new latents.

        Where the step takes one more call, `midway` is true then and these are a point within it.
        """
        return self._solver.step(prediction, latents, self._generator)

    def _fixed_noise(self, shape: tuple[int, int, int]) -> Tensor:
        if self._noise is None:
            self._noise = torch.randn((1, *shape), generator=self._generator)[0]
        return self._noise
