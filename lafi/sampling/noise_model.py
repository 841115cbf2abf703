"""`NoiseModel`: how much of a picture and of noise a model's input holds at a timestep.

Knows latents of one picture and what the checkpoint's scheduler config says of its training, no
sampler and no stage.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import diffusers
import torch
from torch import Tensor

from lafi.model.info import PREDICTION_TYPES
from lafi.model.scheduler_classes import DIFFUSION_SCHEDULERS, FLOW_SCHEDULERS

NoiseKind = Literal["diffusion", "flow"]
Prediction = Literal["epsilon", "v_prediction", "flow"]


class NoiseModel(Protocol):
    """How noise is mixed into a picture, and what the model predicts of the mixture.

    A timestep is a number in [0, last_timestep], 0 is least noise. Latents are (C, h, w) as the
    model sees them. Every mixture can also be written as a point of a rectified flow
    (arXiv:2209.03003), (1 - t) * picture + t * noise, whose model predicts noise - picture.
    """

    @property
    def kind(self) -> NoiseKind: ...

    @property
    def predicts(self) -> Prediction: ...

    @property
    def last_timestep(self) -> float:
        """That of the most noise."""
        ...

    def noised(self, latents: Tensor, noise: Tensor, timestep: float) -> Tensor:
        """The picture with that much noise, as the model wants to see it; (C, h, w) all."""
        ...

    def flow_point(self, latents: Tensor, timestep: float) -> Tensor:
        """Latents as the model sees them, written as (1 - t) * picture + t * noise."""
        ...

    def as_flow(
        self, latents: Tensor, prediction: Tensor, timestep: float
    ) -> tuple[Tensor, Tensor]:
        """Latents and the model's prediction, (C, h, w), as a rectified flow.

        Gives the point as `flow_point`, and noise - picture as the prediction implies them.
        """
        ...

    def from_flow(self, point: Tensor, flow: Tensor, timestep: float) -> Tensor:
        """What the model would have predicted; the inverse of `as_flow`."""
        ...

    def timestep_of(self, share: float) -> float:
        """The timestep at a share in [0, 1] of the schedule, 1 is most noise."""
        ...

    def noise_share(self, timestep: float) -> float:
        """How far through the model's whole schedule, in [0, 1]: 0 is noise, 1 is the picture."""
        ...

    def timestep_at(self, sigma: float) -> float:
        """The timestep of a noise level: noise / picture in a diffusion, t in a flow."""
        ...


class DiffusionNoise:
    """sqrt(a) * picture + sqrt(1 - a) * noise, with `a` from the checkpoint's betas.

    A timestep between two of the training's, as Karras sigmas make them, lies between their
    noise levels on a logarithmic scale.
    """

    kind: NoiseKind = "diffusion"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """config: of a diffusers scheduler, as `noise_kind` accepts it."""
        self.predicts: Prediction = config.get("prediction_type", "epsilon")
        scheduler = diffusers.DDPMScheduler.from_config(dict(config))
        self._alphas: Tensor = scheduler.alphas_cumprod.double()
        # A schedule that ends at zero signal has no finite noise level there.
        positive = self._alphas.clamp(min=2.0**-24)
        self._log_sigmas: Tensor = 0.5 * torch.log((1.0 - positive) / positive)

    @property
    def last_timestep(self) -> int:
        return len(self._alphas) - 1

    def noised(self, latents: Tensor, noise: Tensor, timestep: float) -> Tensor:
        signal_level, noise_level = self._levels(timestep)
        return signal_level * latents + noise_level * noise

    def flow_point(self, latents: Tensor, timestep: float) -> Tensor:
        signal, noise = self._levels(timestep)
        return latents / (signal + noise)

    def as_flow(
        self, latents: Tensor, prediction: Tensor, timestep: float
    ) -> tuple[Tensor, Tensor]:
        signal, noise = self._levels(timestep)
        if self.predicts == "epsilon":
            flow = (prediction * (signal + noise) - latents) / signal
        else:
            flow = (noise - signal) * latents + (signal + noise) * prediction
        return latents / (signal + noise), flow

    def from_flow(self, point: Tensor, flow: Tensor, timestep: float) -> Tensor:
        signal, noise = self._levels(timestep)
        latents = point * (signal + noise)
        if self.predicts == "epsilon":
            return (flow * signal + latents) / (signal + noise)
        return (flow - (noise - signal) * latents) / (signal + noise)

    def timestep_of(self, share: float) -> float:
        return float(round(share * self.last_timestep))

    def noise_share(self, timestep: float) -> float:
        return min(max(1.0 - timestep / self.last_timestep, 0.0), 1.0)

    def timestep_at(self, sigma: float) -> float:
        """sigma: noise / picture, positive; beyond the training's it is its first or last."""
        log_sigma = math.log(sigma)
        above = int(torch.searchsorted(self._log_sigmas, log_sigma))
        if above == 0 or above > self.last_timestep:
            return float(min(above, self.last_timestep))
        low, high = (float(value) for value in self._log_sigmas[above - 1 : above + 1])
        return above - 1 + (log_sigma - low) / (high - low)

    def _levels(self, timestep: float) -> tuple[float, float]:
        """Shares of picture and noise in the latents; their squares add up to 1."""
        alpha = self._alpha(timestep)
        return math.sqrt(alpha), math.sqrt(1.0 - alpha)

    def _alpha(self, timestep: float) -> float:
        low = min(max(int(timestep), 0), self.last_timestep)
        share = timestep - low
        if share <= 0.0 or low == self.last_timestep:
            return float(self._alphas[low])
        pair = self._log_sigmas[low : low + 2]
        log_mixed = pair[0] + share * (pair[1] - pair[0])
        return float(1.0 / (1.0 + torch.exp(2.0 * log_mixed)))


class FlowNoise:
    """(1 - t) * picture + t * noise, t in [0, 1] (rectified flow, arXiv:2209.03003).

    The timestep is t times the training's timesteps, and the model predicts noise - picture.
    """

    kind: NoiseKind = "flow"
    predicts: Prediction = "flow"

    def __init__(self, train_timesteps: int = 1000, shift: float = 1.0) -> None:
        """shift: of the schedule, t -> shift * t / (1 + (shift - 1) * t) (arXiv:2403.03206)."""
        self._train_timesteps = train_timesteps
        self.shift = shift

    @property
    def last_timestep(self) -> int:
        return self._train_timesteps

    def noised(self, latents: Tensor, noise: Tensor, timestep: float) -> Tensor:
        t = timestep / self._train_timesteps
        return (1.0 - t) * latents + t * noise

    def flow_point(self, latents: Tensor, timestep: float) -> Tensor:
        return latents

    def as_flow(
        self, latents: Tensor, prediction: Tensor, timestep: float
    ) -> tuple[Tensor, Tensor]:
        return latents, prediction

    def from_flow(self, point: Tensor, flow: Tensor, timestep: float) -> Tensor:
        return flow

    def timestep_of(self, share: float) -> float:
        return share * self._train_timesteps

    def noise_share(self, timestep: float) -> float:
        """Counted before the shift, so that equal shares are equal parts of the schedule."""
        t = min(max(timestep / self._train_timesteps, 0.0), 1.0)
        return 1.0 - t / (self.shift - (self.shift - 1.0) * t)

    def timestep_at(self, sigma: float) -> float:
        """sigma: t in [0, 1]."""
        return sigma * self._train_timesteps


def noise_kind(config: Mapping[str, Any]) -> NoiseKind:
    """What a scheduler config was made for; one without `_class_name` is a diffusion's.

    Raises ValueError for a scheduler of another noise model, such as that of EDM, and for a
    diffusion whose prediction_type is neither epsilon nor v_prediction.
    """
    name = config.get("_class_name")
    if name in FLOW_SCHEDULERS:
        if config.get("invert_sigmas"):
            raise ValueError("invert_sigmas of the model's scheduler: got True, allowed: False")
        return "flow"
    if name is not None and name not in DIFFUSION_SCHEDULERS:
        allowed = ", ".join((*DIFFUSION_SCHEDULERS, *FLOW_SCHEDULERS))
        raise ValueError(f"_class_name of the model's scheduler: got {name!r}, allowed: {allowed}")
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        raise ValueError(f"prediction_type of the model: got {prediction!r}, allowed: {allowed}")
    return "diffusion"


def noise_model_of(config: Mapping[str, Any], shift: float | None = None) -> NoiseModel:
    """The noise model of a checkpoint, from its scheduler config.

    shift: of a flow's schedule; None takes the config's, 1 where the picture's size decides it.
    Raises ValueError as `noise_kind`.
    """
    if noise_kind(config) == "diffusion":
        return DiffusionNoise(config)
    if shift is None:
        shift = 1.0 if config.get("use_dynamic_shifting") else float(config.get("shift", 1.0))
    return FlowNoise(int(config.get("num_train_timesteps", 1000)), shift)
