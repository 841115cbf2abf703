"""EasyCache's rule, as laws of one panel's own steps."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.error import StoryboardError
from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse

SHAPE = (4, 6, 5)
TRAINED: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}
CONFIGS = {name: TRAINED | {"prediction_type": name} for name in ("epsilon", "v_prediction")}
SEEDS = st.integers(0, 999)
THRESHOLDS = st.sampled_from([0.02, 0.1, 0.5, 1.0])


def reuse(threshold: float = 1.0, config: str = "epsilon") -> StepReuse:
    return StepReuse(ReuseRule(threshold, 0.0, 1.0), noise_model_of(CONFIGS[config]))


def run(
    model: Any, threshold: float, config: str = "epsilon", sampler: str = "DDIM", seed: int = 0
) -> tuple[Tensor, list[bool]]:
    """Latents after 20 steps, and which were computed. model: point of the flow -> its flow."""
    process, steps = noise_model_of(CONFIGS[config]), reuse(threshold, config)
    schedule = PanelSchedule(SamplingStage(steps=20, sampler=sampler), CONFIGS[config], seed)
    latents, computed = schedule.initial_noise(SHAPE), []
    while not schedule.done:
        seen, timestep = schedule.scale(latents), schedule.timestep
        computed.append(not steps.coming)
        if steps.coming:
            prediction = steps.prediction(seen, timestep)
        else:
            point = process.flow_point(seen, timestep)
            prediction = process.from_flow(point, model(point), timestep)
            steps.record(seen, timestep, prediction)
        latents = schedule.step(prediction, latents)
        if not schedule.done:
            steps.decide(schedule.scale(latents), schedule.timestep, True)
    return latents, computed


def towards_a_picture(point: Tensor) -> Tensor:
    return point - 0.3 * torch.tanh(2.0 * point)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from(["DDIM", "Euler", "DPM++2M", "EulerAncestral"]))
def test_a_threshold_of_nothing_computes_every_step(seed: int, sampler: str) -> None:
    _, computed = run(towards_a_picture, 0.0, sampler=sampler, seed=seed)
    assert all(computed)


@settings(max_examples=25, deadline=None)
@given(SEEDS, THRESHOLDS, st.sampled_from(sorted(CONFIGS)))
def test_there_is_no_rate_before_two_computed_steps(
    seed: int, threshold: float, config: str
) -> None:
    _, computed = run(towards_a_picture, threshold, config, seed=seed)
    assert computed[:2] == [True, True]


@settings(max_examples=25, deadline=None)
@given(SEEDS, THRESHOLDS, st.sampled_from(sorted(CONFIGS)))
def test_a_reused_step_is_exact_where_prediction_minus_point_stays(
    seed: int, threshold: float, config: str
) -> None:
    """What EasyCache assumes of a model."""
    offset = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    full, _ = run(lambda point: point + offset, 0.0, config, seed=seed)
    reused, computed = run(lambda point: point + offset, threshold, config, seed=seed)
    torch.testing.assert_close(reused, full, rtol=1e-3, atol=1e-3)
    assert threshold < 1.0 or not all(computed)


@settings(max_examples=25, deadline=None)
@given(SEEDS, THRESHOLDS)
def test_what_a_model_is_trained_to_predict_makes_no_difference(
    seed: int, threshold: float
) -> None:
    noise, computed = run(towards_a_picture, threshold, "epsilon", seed=seed)
    velocity, also_computed = run(towards_a_picture, threshold, "v_prediction", seed=seed)
    assert computed == also_computed
    torch.testing.assert_close(noise, velocity, rtol=1e-3, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.0, 30.0), st.sampled_from(sorted(CONFIGS)))
def test_reusing_what_is_guided_is_guiding_what_both_branches_reuse(
    seed: int, guidance: float, config: str
) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second, without, with_prompt = torch.randn(4, *SHAPE, generator=generator).double()

    def reused(prediction: Tensor) -> Tensor:
        steps = reuse(config=config)
        steps.record(first, 500.0, prediction)
        return steps.prediction(second, 450.0)

    guided = reused(without + guidance * (with_prompt - without))
    branches = reused(without), reused(with_prompt)
    torch.testing.assert_close(guided, branches[0] + guidance * (branches[1] - branches[0]))


def on_the_flow(steps: StepReuse, point: float, flow: float) -> None:
    """A computed step at timestep 500, by its point and prediction."""
    at, predicted = torch.full(SHAPE, point), torch.full(SHAPE, flow)
    prediction = steps._process.from_flow(at, predicted, 500.0)
    steps.record(latents(steps, point), 500.0, prediction)


def latents(steps: StepReuse, point: float) -> Tensor:
    at = torch.full(SHAPE, point)
    return at / steps._process.flow_point(torch.ones(()), 500.0)


@pytest.mark.parametrize("config", CONFIGS)
def test_changes_add_up_to_the_threshold_and_begin_anew(config: str) -> None:
    """Rate 2; each move of 0.1 foretells a change of 0.2, which is 0.1 of a prediction of 2."""
    steps = reuse(0.25, config)
    on_the_flow(steps, 1.0, 1.0)
    on_the_flow(steps, 1.5, 2.0)
    coming = []
    for point in (1.6, 1.5, 1.4):
        steps.decide(latents(steps, point), 500.0, True)
        coming.append(steps.coming)
    assert coming == [True, True, False]
    on_the_flow(steps, 1.4, 1.9)
    steps.decide(latents(steps, 1.5), 500.0, True)
    assert steps.coming, "rate 1 from the last two computed steps, and the sum begins anew"


@pytest.mark.parametrize("config", CONFIGS)
def test_a_reused_step_moves_the_prediction_as_far_as_the_point(config: str) -> None:
    steps = reuse(config=config)
    on_the_flow(steps, 1.0, 1.0)
    on_the_flow(steps, 1.5, 2.0)
    seen = latents(steps, 1.6)
    _, flow = steps._process.as_flow(seen, steps.prediction(seen, 500.0), 500.0)
    torch.testing.assert_close(flow, torch.full(SHAPE, 2.1))


def test_a_step_that_is_not_allowed_is_computed() -> None:
    steps = reuse()
    on_the_flow(steps, 1.0, 1.0)
    on_the_flow(steps, 1.5, 2.0)
    steps.decide(latents(steps, 1.6), 500.0, False)
    assert not steps.coming


def test_what_is_forgotten_needs_two_computed_steps_again() -> None:
    steps = reuse()
    on_the_flow(steps, 1.0, 1.0)
    on_the_flow(steps, 1.5, 2.0)
    steps.forget()
    coming = []
    for point in (1.6, 1.7):
        steps.decide(latents(steps, point), 500.0, True)
        coming.append(steps.coming)
        on_the_flow(steps, point, 2.0 * point)
    steps.decide(latents(steps, 1.71), 500.0, True)
    assert [*coming, steps.coming] == [False, False, True]


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 0.0])
def test_nothing_is_foretold_from_a_prediction_that_is_nothing_or_not_finite(broken: float) -> None:
    steps = reuse()
    on_the_flow(steps, 1.0, 1.0)
    on_the_flow(steps, 1.5, broken)
    steps.decide(latents(steps, 1.6), 500.0, True)
    assert not steps.coming


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"reuse_threshold": 1.5}, "sampling.reuse_threshold: got 1.5, allowed: 0 to 1"),
        ({"reuse_start": -1}, "sampling.reuse_start: got -1, allowed: 0 to 1"),
        ({"reuse_end": 0.1}, "sampling.reuse_end: got 0.1, allowed: 0.15 (its reuse_start) to 1"),
    ],
)
def test_limits_of_the_settings_are_named(given: dict[str, float], line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        Storyboard.model_validate({"sampling": given, "panels": [{"prompt": "a child"}]})
    assert [*refused.value.problems] == [line]


def test_reuse_is_off_by_default_and_a_panel_may_have_its_own() -> None:
    board = Storyboard(
        sampling={"reuse_end": 0.8},
        panels=[Panel(prompt="a"), Panel(prompt="b", sampling={"reuse_threshold": 0.1})],
    )
    stages = [board.effective_sampling(panel).stages[0] for panel in board.panels]
    assert [stage.reuse_threshold for stage in stages] == [0.0, 0.1]
    assert [stage.reuse_end for stage in stages] == [0.8, 0.8]
