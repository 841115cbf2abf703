"""Samplers by name: what each offers for which noise model, and whether a stage can have it.

An installed package brings more through the entry point group `lafi.samplers`: each names a
`SamplerSpec`. Knows what a sampler may be given, not how it works.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from lafi.board.stages import SamplingStage
from lafi.sampling import diffusers_solver as of_diffusion
from lafi.sampling import dpmpp_sde
from lafi.sampling import flow_solver as of_flow
from lafi.sampling.flow_shift import DYNAMIC
from lafi.sampling.noise_model import NoiseKind, noise_kind
from lafi.sampling.solver import Solver, SolverPlan

GROUP = "lafi.samplers"
ALL_SIGMAS = ("default", "karras", "exponential", "beta")
DEFAULT_SAMPLERS: Mapping[NoiseKind, str] = {"diffusion": "DDIM", "flow": "Euler"}
_SHIFTS = ("shift", *DYNAMIC)
_LCM_STEPS = 50
"""Of the schedule that a consistency model is distilled on, where its config names no other."""


@dataclass(frozen=True, slots=True)
class SamplerOffer:
    """What a sampler is for one noise model.

    build        makes it for one panel's stage
    sigmas       the spacings of noise levels that it takes
    eta, s_noise whether it takes them: share and scale of fresh noise
    shift        whether it takes shift, base_shift, max_shift and time_shift_type
    zero_signal  whether it takes a model trained to a last timestep without signal
                 (`rescale_betas_zero_snr`, arXiv:2305.08891)
    most_steps   of a whole schedule, from the scheduler config; None: as many as were trained
    """

    build: Callable[[SolverPlan], Solver]
    sigmas: tuple[str, ...] = ("default",)
    eta: bool = False
    s_noise: bool = False
    shift: bool = False
    zero_signal: bool = True
    most_steps: Callable[[Mapping[str, Any]], int] | None = None


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """A sampler, by the name that a stage gives; None where it does not exist."""

    name: str
    diffusion: SamplerOffer | None = None
    flow: SamplerOffer | None = None

    def offer(self, kind: NoiseKind) -> SamplerOffer | None:
        return self.diffusion if kind == "diffusion" else self.flow


def _lcm_steps(config: Mapping[str, Any]) -> int:
    return int(config.get("original_inference_steps", _LCM_STEPS))


_OWN = (
    SamplerSpec("DDPM", diffusion=SamplerOffer(of_diffusion.ddpm)),
    SamplerSpec("DDIM", diffusion=SamplerOffer(of_diffusion.ddim, eta=True)),
    SamplerSpec(
        "Euler",
        diffusion=SamplerOffer(of_diffusion.euler, ALL_SIGMAS),
        flow=SamplerOffer(of_flow.euler, ALL_SIGMAS, shift=True),
    ),
    SamplerSpec(
        "EulerAncestral",
        diffusion=SamplerOffer(of_diffusion.euler_ancestral),
        flow=SamplerOffer(of_flow.euler_ancestral, eta=True, s_noise=True, shift=True),
    ),
    SamplerSpec(
        "Heun",
        diffusion=SamplerOffer(of_diffusion.heun, ALL_SIGMAS, zero_signal=False),
        flow=SamplerOffer(of_flow.heun, shift=True),
    ),
    SamplerSpec(
        "LCM",
        diffusion=SamplerOffer(of_diffusion.lcm, most_steps=_lcm_steps),
        flow=SamplerOffer(of_flow.lcm, shift=True),
    ),
    SamplerSpec(
        "UniPC",
        diffusion=SamplerOffer(of_diffusion.unipc, ALL_SIGMAS),
        flow=SamplerOffer(of_flow.unipc, shift=True),
    ),
    SamplerSpec(
        "DPM++2M",
        diffusion=SamplerOffer(of_diffusion.dpmpp_2m, ALL_SIGMAS),
        flow=SamplerOffer(of_flow.dpmpp_2m, shift=True),
    ),
    SamplerSpec(
        "DPM++2MSDE",
        diffusion=SamplerOffer(of_diffusion.dpmpp_2m_sde, ALL_SIGMAS),
        flow=SamplerOffer(of_flow.dpmpp_2m_sde, shift=True),
    ),
    SamplerSpec(
        "DPM++SDE",
        diffusion=SamplerOffer(dpmpp_sde.diffusion, ALL_SIGMAS, eta=True, s_noise=True),
        flow=SamplerOffer(dpmpp_sde.flow, ALL_SIGMAS, eta=True, s_noise=True, shift=True),
    ),
)


def samplers() -> dict[str, SamplerSpec]:
    """All samplers by name; those of installed packages come last and replace none of ours.

    Raises TypeError where an entry point names something else than a `SamplerSpec`.
    """
    found = {spec.name: spec for spec in _OWN}
    for entry in entry_points(group=GROUP):
        spec = entry.load()
        if not isinstance(spec, SamplerSpec):
            raise TypeError(
                f"entry point {entry.name} of {GROUP}: got {type(spec).__name__}, "
                "allowed: SamplerSpec"
            )
        found.setdefault(spec.name, spec)
    return found


def with_sampler(stage: SamplingStage, config: Mapping[str, Any]) -> SamplingStage:
    """The stage with its sampler: its own, or the default of a model with this scheduler config.

    Raises ValueError as `noise_kind`.
    """
    if stage.sampler is not None:
        return stage
    return stage.model_copy(update={"sampler": DEFAULT_SAMPLERS[noise_kind(config)]})


def sampler_offer(name: str, kind: NoiseKind) -> SamplerOffer:
    """Raises ValueError for a name that is not known, or not made for that noise model."""
    known = {spec.name: spec for spec in _OWN}
    if name not in known:
        known = samplers()
    offer = known[name].offer(kind) if name in known else None
    if offer is None:
        allowed = ", ".join(spec.name for spec in samplers().values() if spec.offer(kind))
        raise ValueError(f"sampler: got {name!r}, allowed with this {kind} model: {allowed}")
    return offer


def check_stage(stage: SamplingStage, config: Mapping[str, Any]) -> None:
    """Raise ValueError unless the stage's sampler can work with this scheduler config.

    Its lines are those of `stage_problems`.
    """
    problems = stage_problems(stage, config)
    if problems:
        raise ValueError("\n".join(problems))


def stage_problems(stage: SamplingStage, config: Mapping[str, Any]) -> list[str]:
    """What keeps a stage's sampler from a model; each names field, value and what is allowed."""
    try:
        kind = noise_kind(config)
        stage = with_sampler(stage, config)
        offer = sampler_offer(str(stage.sampler), kind)
    except ValueError as error:
        return [str(error)]
    return [*_sigma_problems(stage, offer, kind), *_other_problems(stage, offer, config)]


def _sigma_problems(stage: SamplingStage, offer: SamplerOffer, kind: NoiseKind) -> Iterator[str]:
    if stage.sigmas not in offer.sigmas:
        others = [s.name for s in samplers().values() if _takes(s, stage.sigmas, kind)]
        offered = f" ({', '.join(others)} offer it)" if others else ""
        allowed = f"{', '.join(offer.sigmas)} with sampler {stage.sampler}{offered}"
        yield f"sigmas: got {stage.sigmas!r}, allowed: {allowed}"
    elif stage.sigmas == "beta" and find_spec("scipy") is None:
        without = ", ".join(sigmas for sigmas in offer.sigmas if sigmas != "beta")
        yield f"sigmas: got 'beta', allowed: {without}; beta needs scipy here"


def _takes(spec: SamplerSpec, sigmas: str, kind: NoiseKind) -> bool:
    offer = spec.offer(kind)
    return offer is not None and sigmas in offer.sigmas


def _other_problems(
    stage: SamplingStage, offer: SamplerOffer, config: Mapping[str, Any]
) -> Iterator[str]:
    kind, sampler = noise_kind(config), f"with sampler {stage.sampler} of a {noise_kind(config)}"
    if stage.eta is not None and not offer.eta:
        yield f"eta: got {stage.eta:g}, allowed: nothing {sampler}, which has none"
    if stage.s_noise != 1.0 and not offer.s_noise:
        yield f"s_noise: got {stage.s_noise:g}, allowed: 1 {sampler}, which has none"
    if not offer.shift:
        for name in _SHIFTS:
            value = getattr(stage, name)
            if value is not None:
                which = "a diffusion model" if kind == "diffusion" else f"sampler {stage.sampler}"
                yield f"{name}: got {value}, allowed: nothing with {which}"
    if config.get("rescale_betas_zero_snr") and not offer.zero_signal:
        others = [s.name for s in samplers().values() if s.diffusion and s.diffusion.zero_signal]
        yield (
            f"sampler: got {stage.sampler!r}, allowed with this model, whose last timestep holds "
            f"no signal (rescale_betas_zero_snr): {', '.join(others)}"
        )
    most = offer.most_steps(config) if offer.most_steps else None
    if most is None and kind == "diffusion":
        most = int(config.get("num_train_timesteps", 1000))
    total = schedule_steps(stage)
    if most is not None and total > most:
        got = f"{stage.steps} at denoise {stage.denoise:g}, a schedule of {total}"
        yield f"steps: got {got}, allowed: a schedule of {most} at most {sampler}"


def schedule_steps(stage: SamplingStage) -> int:
    """Steps of the whole schedule of which a stage computes the last `steps`."""
    return max(round(stage.steps / stage.denoise), stage.steps)
