"""Samplers by name: what a model refuses and with which words, and those of other packages."""

import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from lafi.board.stage_checks import WITHOUT_SIGMAS
from lafi.board.stages import Sampler, SamplingStage
from lafi.sampling.samplers import check_stage, samplers, schedule_steps, stage_problems
from lafi.sampling.schedule import PanelSchedule

DIFFUSION: dict[str, Any] = {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
FLOW: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler"}


def stage(sampler: str, **settings: Any) -> SamplingStage:
    return SamplingStage(**{"steps": 5} | settings).model_copy(update={"sampler": sampler})


def test_samplers_are_those_of_a_storyboard() -> None:
    assert [*samplers()] == [*get_args(Sampler)]


def test_what_a_storyboard_refuses_no_sampler_offers() -> None:
    for spec in samplers().values():
        offers = [offer for offer in (spec.diffusion, spec.flow) if offer is not None]
        spaced = any(offer.sigmas != ("default",) for offer in offers)
        assert spaced == (spec.name not in WITHOUT_SIGMAS)


@pytest.mark.parametrize("config", [DIFFUSION, FLOW], ids=["diffusion", "flow"])
@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_what_is_offered_can_be_drawn(sampler: str, config: dict[str, Any]) -> None:
    offer = samplers()[sampler].offer("flow" if config is FLOW else "diffusion")
    if offer is None:
        assert stage_problems(stage(sampler), config)
        return
    for sigmas in offer.sigmas:
        settings: dict[str, Any] = {"sigmas": sigmas}
        if offer.eta:
            settings["eta"] = 0.5
        if offer.s_noise:
            settings["s_noise"] = 0.9
        if offer.shift:
            settings["shift"] = 2.0
        assert stage_problems(stage(sampler, **settings), config) == []
        assert PanelSchedule(stage(sampler, **settings), config, 0).steps == 5


REFUSED = [
    (
        stage("DDIM"),
        FLOW,
        "sampler: got 'DDIM', allowed with this flow model: Euler, EulerAncestral, Heun, LCM, "
        "UniPC, DPM++2M, DPM++2MSDE, DPM++SDE",
    ),
    (
        stage("Magic"),
        DIFFUSION,
        "sampler: got 'Magic', allowed with this diffusion model: DDPM, DDIM, Euler, "
        "EulerAncestral, Heun, LCM, UniPC, DPM++2M, DPM++2MSDE, DPM++SDE",
    ),
    (
        stage("EulerAncestral", sigmas="karras"),
        DIFFUSION,
        "sigmas: got 'karras', allowed: default with sampler EulerAncestral (Euler, Heun, UniPC, "
        "DPM++2M, DPM++2MSDE, DPM++SDE offer it)",
    ),
    (
        stage("UniPC", sigmas="beta"),
        FLOW,
        "sigmas: got 'beta', allowed: default with sampler UniPC (Euler, DPM++SDE offer it)",
    ),
    (
        stage("Euler", eta=0.5),
        DIFFUSION,
        "eta: got 0.5, allowed: nothing with sampler Euler of a diffusion, which has none",
    ),
    (
        stage("DDIM", s_noise=0.9),
        DIFFUSION,
        "s_noise: got 0.9, allowed: 1 with sampler DDIM of a diffusion, which has none",
    ),
    (
        stage("DDIM", shift=3.0),
        DIFFUSION,
        "shift: got 3.0, allowed: nothing with a diffusion model",
    ),
    (
        stage("DDIM", time_shift_type="linear"),
        DIFFUSION,
        "time_shift_type: got linear, allowed: nothing with a diffusion model",
    ),
    (
        stage("Heun"),
        DIFFUSION | {"rescale_betas_zero_snr": True},
        "sampler: got 'Heun', allowed with this model, whose last timestep holds no signal "
        "(rescale_betas_zero_snr): DDPM, DDIM, Euler, EulerAncestral, LCM, UniPC, DPM++2M, "
        "DPM++2MSDE, DPM++SDE",
    ),
    (
        stage("LCM", steps=40, denoise=0.5),
        DIFFUSION,
        "steps: got 40 at denoise 0.5, a schedule of 80, allowed: a schedule of 50 at most with "
        "sampler LCM of a diffusion",
    ),
    (
        stage("DDIM", steps=60),
        DIFFUSION | {"num_train_timesteps": 50},
        "steps: got 60 at denoise 1, a schedule of 60, allowed: a schedule of 50 at most with "
        "sampler DDIM of a diffusion",
    ),
    (
        stage("DDIM"),
        {"_class_name": "EDMEulerScheduler"},
        "_class_name of the model's scheduler: got 'EDMEulerScheduler', allowed: DDIMScheduler, ",
    ),
]


@pytest.mark.parametrize(("given", "config", "message"), REFUSED)
def test_what_a_model_cannot_draw_is_refused(
    given: SamplingStage, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="got") as refused:
        check_stage(given, config)
    assert str(refused.value).startswith(message)
    with pytest.raises(ValueError, match="got"):
        PanelSchedule(given, config, 0)


def test_every_problem_is_named() -> None:
    given = stage("DDPM", eta=0.5, s_noise=0.5, base_shift=0.5, max_shift=1.15)
    problems = stage_problems(given, DIFFUSION)
    fields = [problem.split(":")[0] for problem in problems]
    assert fields == ["eta", "s_noise", "base_shift", "max_shift"]
    with pytest.raises(ValueError, match=r"eta: got 0\.5.*\n.*\n.*\n.*max_shift"):
        check_stage(given, DIFFUSION)


def test_beta_sigmas_without_scipy_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lafi.sampling.samplers.find_spec", lambda name: None)
    message = "sigmas: got 'beta', allowed: default, karras, exponential; beta needs scipy here"
    assert stage_problems(stage("Euler", sigmas="beta"), DIFFUSION) == [message]


@pytest.mark.parametrize(
    ("steps", "denoise", "total"), [(16, 0.7, 23), (16, 0.6, 27), (9, 1.0, 9), (1, 0.999, 1)]
)
def test_computed_steps_are_a_part_of_the_schedule(steps: int, denoise: float, total: int) -> None:
    assert schedule_steps(stage("DDIM", steps=steps, denoise=denoise)) == total


TOY = '''
from lafi.sampling.samplers import SamplerOffer, SamplerSpec


class Jump:
    """Takes the prediction for the picture, in one call."""

    index = call = 0
    midway = False

    def __init__(self, plan):
        self.timesteps = [plan.noise_model.last_timestep]

    def pure_noise(self, noise):
        return noise

    noised = None

    def scale(self, latents):
        return latents

    def step(self, prediction, latents, generator):
        self.index = self.call = 1
        return prediction


jump = SamplerSpec("Jump", flow=SamplerOffer(Jump))
euler = SamplerSpec("Euler", flow=SamplerOffer(Jump))
number = 5
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lays a package with these entry points among the installed ones."""
    (tmp_path / "toy_samplers.py").write_text(TOY)
    info = tmp_path / "toy_samplers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-samplers\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*names: str) -> None:
        lines = [f"{name} = toy_samplers:{name}" for name in names]
        (info / "entry_points.txt").write_text("\n".join(["[lafi.samplers]", *lines, ""]))

    yield install
    sys.modules.pop("toy_samplers", None)


def test_a_package_brings_a_sampler(installed: Any) -> None:
    installed("jump")
    assert [*samplers()][-1] == "Jump"
    schedule = PanelSchedule(stage("Jump", steps=1), FLOW, 0)
    latents = schedule.initial_noise((4, 6, 5))
    drawn = schedule.step(0.5 * latents, latents)
    assert schedule.done
    assert torch.equal(drawn, 0.5 * latents)
    with pytest.raises(ValueError, match="sampler: got 'Jump', allowed with this diffusion model"):
        check_stage(stage("Jump"), DIFFUSION)
    with pytest.raises(ValueError, match=r"sampler: got 'Magic', allowed .*DPM\+\+SDE, Jump$"):
        check_stage(stage("Magic"), FLOW)


def test_a_package_replaces_none_of_ours(installed: Any) -> None:
    own = samplers()["Euler"]
    installed("euler")
    assert samplers()["Euler"] is own


def test_an_entry_point_that_is_no_sampler_is_refused(installed: Any) -> None:
    installed("number")
    message = "entry point number of lafi.samplers: got int, allowed: SamplerSpec"
    with pytest.raises(TypeError, match=message):
        samplers()
