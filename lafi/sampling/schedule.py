"""One noise schedule per panel: the schedulers of diffusers, each with a generator of its own.

Knows latents of one panel, not the batch it is denoised in and not the model.
"""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import diffusers
import torch
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.model.info import PREDICTION_TYPES

_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "DDPM": ("DDPMScheduler", {}),
    "DDIM": ("DDIMScheduler", {}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "EulerAncestral": ("EulerAncestralDiscreteScheduler", {}),
    "DPM++2M": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_type": "midpoint", "solver_order": 2},
    ),
    "DPM++2MSDE": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_type": "midpoint", "solver_order": 2},
    ),
}
_WITH_SIGMAS = ("Euler", "DPM++2M", "DPM++2MSDE")
"""Samplers whose class offers Karras and beta sigmas."""
_SIGMA_OPTIONS = ("use_karras_sigmas", "use_beta_sigmas", "use_exponential_sigmas")


class PanelSchedule:
    """Where one panel stands between noise and picture.

    Its generator is seeded on the CPU, so that noise depends on the seed alone and stochastic
    samplers repeat. `index` counts scheduler steps from 0 to `steps`.
    """

    def __init__(self, stage: SamplingStage, config: Mapping[str, Any], seed: int) -> None:
        """config: the scheduler config of the checkpoint. Raises ValueError as `check_stage`."""
        check_stage(stage, config)
        self._scheduler = _build_scheduler(stage, config)
        self._scheduler.set_timesteps(stage.steps)
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(0)
        self._generator = torch.Generator(device="cpu").manual_seed(seed)
        self.steps = len(self._scheduler.timesteps)
        self.index = 0

    @property
    def done(self) -> bool:
        return self.index >= self.steps

    @property
    def timestep(self) -> float:
        """Of the coming step, in training timesteps."""
        return float(self._scheduler.timesteps[self.index])

    def initial_noise(self, shape: tuple[int, int, int]) -> Tensor:
        """(C, h, w) float32, the latents before the first step; call it once, first."""
        noise = torch.randn((1, *shape), generator=self._generator)[0]
        scaled: Tensor = noise * self._scheduler.init_noise_sigma
        return scaled

    def scale(self, latents: Tensor) -> Tensor:
        """Latents (C, h, w) as the model wants to see them at the coming step."""
        t = self._scheduler.timesteps[self.index]
        scaled: Tensor = self._scheduler.scale_model_input(latents[None], t)[0]
        return scaled

    def step(self, prediction: Tensor, latents: Tensor) -> Tensor:
        """One step: the model's prediction and the latents, both (C, h, w), to new latents."""
        t = self._scheduler.timesteps[self.index]
        self.index += 1
        stepped: Tensor = self._scheduler.step(
            prediction[None], t, latents[None], generator=self._generator, return_dict=False
        )[0][0]
        return stepped


class ForwardProcess:
    """How much of a picture and of noise a training timestep holds, from the checkpoint's betas."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        scheduler = diffusers.DDPMScheduler.from_config(dict(config))
        self._alphas: Tensor = scheduler.alphas_cumprod.double()
        self._predicts_noise = config.get("prediction_type", "epsilon") == "epsilon"

    @property
    def last_timestep(self) -> int:
        return len(self._alphas) - 1

    def noised(self, latents: Tensor, noise: Tensor, timestep: float) -> Tensor:
        """sqrt(a) * latents + sqrt(1 - a) * noise, as the model wants to see it.

        A timestep between two of the training's, as Karras sigmas make them, lies between
        their noise levels on a logarithmic scale.
        """
        signal_level, noise_level = self._levels(timestep)
        return signal_level * latents + noise_level * noise

    def flow_point(self, latents: Tensor, timestep: float) -> Tensor:
        """Latents as the model sees them, written as (1 - t) * picture + t * noise."""
        signal, noise = self._levels(timestep)
        return latents / (signal + noise)

    def as_flow(
        self, latents: Tensor, prediction: Tensor, timestep: float
    ) -> tuple[Tensor, Tensor]:
        """Latents and the model's prediction, (C, h, w), as a rectified flow (arXiv:2209.03003).

        Gives the point as `flow_point`, and noise - picture as the prediction implies them.
        """
        signal, noise = self._levels(timestep)
        if self._predicts_noise:
            flow = (prediction * (signal + noise) - latents) / signal
        else:
            flow = (noise - signal) * latents + (signal + noise) * prediction
        return latents / (signal + noise), flow

    def from_flow(self, point: Tensor, flow: Tensor, timestep: float) -> Tensor:
        """What the model would have predicted; the inverse of `as_flow`."""
        signal, noise = self._levels(timestep)
        latents = point * (signal + noise)
        if self._predicts_noise:
            return (flow * signal + latents) / (signal + noise)
        return (flow - (noise - signal) * latents) / (signal + noise)

    def _levels(self, timestep: float) -> tuple[float, float]:
        """Shares of picture and noise in the latents; their squares add up to 1."""
        alpha = self._alpha(timestep)
        return math.sqrt(alpha), math.sqrt(1.0 - alpha)

    def _alpha(self, timestep: float) -> float:
        low = min(max(int(timestep), 0), self.last_timestep)
        share = timestep - low
        if share <= 0.0 or low == self.last_timestep:
            return float(self._alphas[low])
        # A schedule that ends at zero signal has no finite noise level there.
        pair = self._alphas[low : low + 2].clamp(min=2.0**-24)
        log_sigma = 0.5 * torch.log((1.0 - pair) / pair)
        log_mixed = log_sigma[0] + share * (log_sigma[1] - log_sigma[0])
        return float(1.0 / (1.0 + torch.exp(2.0 * log_mixed)))


def check_stage(stage: SamplingStage, config: Mapping[str, Any]) -> None:
    """Raise ValueError unless the stage's sampler can work with this checkpoint's config."""
    if stage.sampler not in _SCHEDULERS:
        raise ValueError(f"sampler: got {stage.sampler!r}, allowed: {', '.join(_SCHEDULERS)}")
    if stage.sigmas != "default" and stage.sampler not in _WITH_SIGMAS:
        raise ValueError(
            f"sigmas: got {stage.sigmas!r}, allowed: default with sampler {stage.sampler} "
            f"({', '.join(_WITH_SIGMAS)} offer karras and beta)"
        )
    if stage.sigmas == "beta" and find_spec("scipy") is None:
        raise ValueError("sigmas: got 'beta', allowed: default, karras; beta needs scipy here")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        raise ValueError(f"prediction_type of the model: got {prediction!r}, allowed: {allowed}")


def _build_scheduler(stage: SamplingStage, config: Mapping[str, Any]) -> Any:
    class_name, options = _SCHEDULERS[stage.sampler]
    options = dict(options)
    if stage.sigmas != "default":
        options |= {name: name == f"use_{stage.sigmas}_sigmas" for name in _SIGMA_OPTIONS}
    return getattr(diffusers, class_name).from_config(dict(config), **options)
