"""DPM++SDE: the single-step stochastic DPM-Solver++ of order 2 (arXiv:2211.01095).

Of diffusers it takes the noise levels alone; its own class of this name needs torchsde and knows
no flow.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import diffusers
import torch
from torch import Tensor

from lafi.sampling.diffusers_solver import cut_surplus
from lafi.sampling.flow_shift import FlowShift
from lafi.sampling.flow_solver import flow_scheduler
from lafi.sampling.solver import Solver, SolverPlan

_BELOW_ONE = 1.0 - 1e-4
"""A flow's first level in place of 1, before the shift: at 1 there is no signal to noise ratio."""


class _Level(NamedTuple):
    """A noise level: latents are signal * (picture + ratio * noise).

    sigma  in the model's own terms: noise / picture in a diffusion, t in a flow
    ratio  exp(-lambda), with lambda the logarithm of signal to noise
    """

    sigma: float
    ratio: float
    signal: float


class _Begun(NamedTuple):
    """A step whose first call was made: what it began with and what it predicted, (C, h, w) each.

    noise  the path's standard normal noise from the step's start to its middle
    """

    latents: Tensor
    picture: Tensor
    noise: Tensor


class StochasticDpmSolver:
    """Two calls a step, at its start and at the middle of lambda; the last step takes one.

    Both calls' noise is of one Brownian path, so that of the whole step contains that of its
    first half. It is drawn from the panel's generator, where k-diffusion asks a Brownian tree.
    eta 0 adds no noise; 1 is the stochastic equation of the paper.
    """

    def __init__(
        self, levels: Sequence[float], timesteps: Sequence[float], start: float, plan: SolverPlan
    ) -> None:
        """levels: sigmas of a whole schedule, 0 at its end; timesteps: of all but that.

        start: scale of the noise that a whole schedule begins with.
        """
        self._model = plan.noise_model
        self._start = start
        self._eta = 1.0 if plan.stage.eta is None else plan.stage.eta
        self._s_noise = plan.stage.s_noise
        self._levels: list[_Level] = []
        self.timesteps: list[float] = []
        ends = [self._level(sigma) for sigma in levels[plan.begin :]]
        for (level, following), timestep in zip(
            pairwise(ends), timesteps[plan.begin :], strict=True
        ):
            self._levels.append(level)
            self.timesteps.append(timestep)
            if following.ratio > 0.0:
                self._levels.append(self._between(level, following))
                self.timesteps.append(self._model.timestep_at(self._levels[-1].sigma))
        self._levels.append(ends[-1])
        self._steps = plan.stage.steps
        self._begun: _Begun | None = None
        self.call = 0

    @property
    def index(self) -> int:
        return self._steps if self.call == len(self.timesteps) else self.call // 2

    @property
    def midway(self) -> bool:
        return self._begun is not None

    def pure_noise(self, noise: Tensor) -> Tensor:
        return noise * self._start

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        level = self._levels[self.call]
        return level.signal * latents + level.signal * level.ratio * noise

    def scale(self, latents: Tensor) -> Tensor:
        if self._model.kind == "flow":
            return latents
        return latents / math.sqrt(self._levels[self.call].ratio ** 2 + 1.0)

    def step(self, prediction: Tensor, latents: Tensor, generator: torch.Generator) -> Tensor:
        call, picture = self.call, self._picture(prediction, latents)
        self.call += 1
        if self._levels[call + 1].ratio == 0.0:
            return picture
        noise = torch.randn((1, *latents.shape), generator=generator)[0]
        if self._begun is None:
            self._begun = _Begun(latents, picture, noise)
            return self._moved(latents, picture, noise, *self._levels[call : call + 2])
        begun, self._begun = self._begun, None
        start, middle, end = self._levels[call - 1 : call + 2]
        # With the middle at r = 1/2 the paper's weights 1 - 1 / 2r and 1 / 2r are 0 and 1.
        whole = math.sqrt(start.sigma - middle.sigma) * begun.noise
        whole = (whole + math.sqrt(middle.sigma - end.sigma) * noise) / math.sqrt(
            start.sigma - end.sigma
        )
        return self._moved(begun.latents, picture, whole, start, end)

    def _moved(
        self, latents: Tensor, picture: Tensor, noise: Tensor, start: _Level, end: _Level
    ) -> Tensor:
        """From one level to the next: exactly for a fixed picture, below it, then up by noise."""
        up = self._eta * end.ratio * math.sqrt(1.0 - (end.ratio / start.ratio) ** 2)
        up = min(end.ratio, up)
        down = math.sqrt(end.ratio**2 - up**2) / start.ratio
        moved = (end.signal / start.signal * down) * latents + end.signal * (1.0 - down) * picture
        return moved + (end.signal * up * self._s_noise) * noise

    def _picture(self, prediction: Tensor, latents: Tensor) -> Tensor:
        """The picture that a prediction implies."""
        level = self._levels[self.call]
        if self._model.predicts == "v_prediction":
            spread = level.ratio**2 + 1.0
            return latents / spread - (level.ratio / math.sqrt(spread)) * prediction
        return latents - level.sigma * prediction

    def _level(self, sigma: float) -> _Level:
        if self._model.kind == "flow":
            return _Level(sigma, sigma / (1.0 - sigma), 1.0 - sigma)
        return _Level(sigma, sigma, 1.0)

    def _between(self, start: _Level, end: _Level) -> _Level:
        ratio = math.sqrt(start.ratio * end.ratio)
        if self._model.kind == "flow":
            return _Level(ratio / (1.0 + ratio), ratio, 1.0 / (1.0 + ratio))
        return _Level(ratio, ratio, 1.0)


def diffusion(plan: SolverPlan) -> Solver:
    """With the noise levels of diffusers' EulerDiscreteScheduler."""
    scheduler = diffusers.EulerDiscreteScheduler.from_config(
        dict(plan.config), **plan.sigma_options()
    )
    scheduler.set_timesteps(plan.total)
    cut_surplus(scheduler, plan.total)
    return StochasticDpmSolver(
        scheduler.sigmas.double().tolist(),
        scheduler.timesteps.tolist(),
        float(scheduler.init_noise_sigma),
        plan,
    )


def flow(plan: SolverPlan) -> Solver:
    """With the noise levels of diffusers' FlowMatchEulerDiscreteScheduler, the first below 1."""
    assert plan.shift is not None
    sigmas = below_one(flow_scheduler(plan).sigmas.double().tolist(), plan.shift)
    timesteps = [plan.noise_model.timestep_at(sigma) for sigma in sigmas[:-1]]
    return StochasticDpmSolver(sigmas, timesteps, 1.0, plan)


def below_one(sigmas: Sequence[float], shift: FlowShift) -> list[float]:
    """A flow's levels with the first, where it is 1, at 0.0001 of the schedule after it."""
    first = sigmas[0] if sigmas[0] < 1.0 else shift.shifted(_BELOW_ONE)
    return [first, *sigmas[1:]]
