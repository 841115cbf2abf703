"""Samplers that are classes of diffusers, each as a `Solver` of its own.

Knows their quirks: doubled timesteps, indices, and faults that are mended here.
"""

import inspect
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import diffusers
import torch
from torch import Tensor

from lafi.sampling.solver import Solver, SolverPlan

_DPMPP = {"solver_type": "midpoint", "solver_order": 2}


class DiffusersSolver:
    """A scheduler of diffusers, from its step `begin` on.

    Schedulers of order 2 (Heun) list each timestep but the first twice and take two calls a step,
    but for the last, which takes one.
    """

    def __init__(
        self, scheduler: Any, plan: SolverPlan, arguments: Mapping[str, float] | None = None
    ) -> None:
        """scheduler: with its timesteps set, `plan.total` steps. arguments: of its `step`."""
        self._scheduler = scheduler
        self._is_flow = plan.noise_model.kind == "flow"
        self._steps = plan.stage.steps
        self._first = plan.begin * scheduler.order
        self._arguments = dict(arguments or {})
        self._draws = "generator" in inspect.signature(scheduler.step).parameters
        cut_surplus(scheduler, scheduler.order * plan.total - (scheduler.order - 1))
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(self._first)
        self.timesteps: Sequence[float] = scheduler.timesteps[self._first :].tolist()
        self.call = 0

    @property
    def index(self) -> int:
        if self.call == len(self.timesteps):
            return self._steps
        return self.call // int(self._scheduler.order)

    @property
    def midway(self) -> bool:
        return self.call < len(self.timesteps) and self.call % int(self._scheduler.order) > 0

    def pure_noise(self, noise: Tensor) -> Tensor:
        scaled: Tensor = noise * getattr(self._scheduler, "init_noise_sigma", 1.0)
        return scaled

    def noised(self, latents: Tensor, noise: Tensor) -> Tensor:
        if self.call == len(self.timesteps):
            return latents
        if self._is_flow:
            sigma = float(self._scheduler.sigmas[self._first + self.call])
            return sigma * noise + (1.0 - sigma) * latents
        mixed: Tensor = self._scheduler.add_noise(latents[None], noise[None], self._timestep[None])
        return mixed[0]

    def scale(self, latents: Tensor) -> Tensor:
        if not hasattr(self._scheduler, "scale_model_input"):
            return latents
        scaled: Tensor = self._scheduler.scale_model_input(latents[None], self._timestep)
        return scaled[0]

    def step(self, prediction: Tensor, latents: Tensor, generator: torch.Generator) -> Tensor:
        drawn = {"generator": generator} if self._draws else {}
        stepped: Tensor = self._scheduler.step(
            prediction[None],
            self._timestep,
            latents[None],
            **self._arguments,
            **drawn,
            return_dict=False,
        )[0]
        self.call += 1
        return stepped[0]

    @property
    def _timestep(self) -> Tensor:
        timestep: Tensor = self._scheduler.timesteps[self._first + self.call]
        return timestep


class SpacedDDIM(diffusers.DDIMScheduler):
    """DDIM whose steps end where the next begins, also where timesteps are not spaced evenly.

    The class of diffusers takes the same stride at every step, training timesteps // steps. That
    is not the stride of `linspace` (10 steps: 100 in place of 111), so there each step takes the
    latents for cleaner than they are, and the last but one already for the picture (diffusers
    issues 11347 and 12633, open).
    """

    num_inference_steps: Any

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, **given: Any) -> Any:
        place = int((self.timesteps == timestep).nonzero()[0])
        following = int(self.timesteps[place + 1]) if place + 1 < len(self.timesteps) else -1
        stride = int(timestep) - following
        steps = self.num_inference_steps
        # All that the class does with this number is to divide by it for the stride.
        self.num_inference_steps = Fraction(self.config.num_train_timesteps, stride)
        try:
            return super().step(model_output, timestep, sample, **given)
        finally:
            self.num_inference_steps = steps


def cut_surplus(scheduler: Any, calls: int) -> None:
    """Take off the timestep -1 that `trailing` spacing has at its end for some numbers of steps.

    It counts down from 1000 by 1000 / steps until 0, which rounding lets it miss (steps 61: 62
    timesteps). At -1 the classes read the levels of the training's last, most noisy timestep.
    """
    surplus = len(scheduler.timesteps) - calls
    if surplus > 0:
        scheduler.timesteps = scheduler.timesteps[:-surplus]
        if len(getattr(scheduler, "sigmas", ())) > calls + 1:
            kept = scheduler.sigmas[: -1 - surplus]
            scheduler.sigmas = torch.cat([kept, scheduler.sigmas[-1:]])


def ddim(plan: SolverPlan) -> Solver:
    """DDIM (arXiv:2010.02502); eta 0 adds no noise, 1 is DDPM.

    `trailing` keeps diffusers' stride, which differs from the listed timesteps by 1 of 1000 at
    most: it is what such models' pipelines draw.
    """
    spaced = plan.config.get("timestep_spacing") == "linspace"
    scheduler = (SpacedDDIM if spaced else diffusers.DDIMScheduler).from_config(dict(plan.config))
    scheduler.set_timesteps(plan.total)
    eta = plan.stage.eta
    return DiffusersSolver(scheduler, plan, {} if eta is None else {"eta": eta})


def _diffusion(plan: SolverPlan, class_name: str, **options: Any) -> Solver:
    options |= plan.sigma_options()
    scheduler = getattr(diffusers, class_name).from_config(dict(plan.config), **options)
    scheduler.set_timesteps(plan.total)
    return DiffusersSolver(scheduler, plan)


def ddpm(plan: SolverPlan) -> Solver:
    """Ancestral sampling (arXiv:2006.11239)."""
    return _diffusion(plan, "DDPMScheduler")


def euler(plan: SolverPlan) -> Solver:
    """Euler's method on the probability flow (arXiv:2206.00364, algorithm 2 without churn)."""
    return _diffusion(plan, "EulerDiscreteScheduler")


def euler_ancestral(plan: SolverPlan) -> Solver:
    """Euler's method to below the next level, and noise up to it, as k-diffusion does it."""
    return _diffusion(plan, "EulerAncestralDiscreteScheduler")


def heun(plan: SolverPlan) -> Solver:
    """Heun's method, two calls a step but the last (arXiv:2206.00364, algorithm 1)."""
    return _diffusion(plan, "HeunDiscreteScheduler")


def lcm(plan: SolverPlan) -> Solver:
    """Multistep sampling of a latent consistency model (arXiv:2310.04378, algorithm 3)."""
    return _diffusion(plan, "LCMScheduler")


def unipc(plan: SolverPlan) -> Solver:
    """UniPC (arXiv:2302.04867)."""
    return _diffusion(plan, "UniPCMultistepScheduler")


def dpmpp_2m(plan: SolverPlan) -> Solver:
    """Multistep DPM-Solver++ of order 2 (arXiv:2211.01095, algorithm 2)."""
    return _diffusion(plan, "DPMSolverMultistepScheduler", algorithm_type="dpmsolver++", **_DPMPP)


def dpmpp_2m_sde(plan: SolverPlan) -> Solver:
    """The same of the stochastic equation (arXiv:2211.01095, appendix A)."""
    return _diffusion(
        plan, "DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", **_DPMPP
    )
