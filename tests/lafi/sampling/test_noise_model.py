"""Noise models: what a timestep holds of picture and noise, and what a prediction means there."""

from typing import Any

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.sampling.noise_model import FlowNoise, noise_kind, noise_model_of

EPSILON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
}
VELOCITY = EPSILON | {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
CONFIGS = {"epsilon": EPSILON, "v_prediction": VELOCITY}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
SHAPE = (4, 6, 5)
ONE = torch.ones((), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.sampled_from(sorted(CONFIGS)))
def test_the_forward_process_is_that_of_training(timestep: int, config: str) -> None:
    latents, noise = torch.ones(SHAPE), torch.full(SHAPE, -2.0)
    scheduler = diffusers.DDIMScheduler.from_config(CONFIGS[config])
    expected = scheduler.add_noise(latents[None], noise[None], torch.tensor([timestep]))[0]
    ours = noise_model_of(CONFIGS[config]).noised(latents, noise, float(timestep))
    torch.testing.assert_close(ours, expected)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 998.0), st.sampled_from(sorted(CONFIGS)), st.integers(0, 99))
def test_a_flow_is_made_of_the_picture_and_noise_that_a_prediction_implies(
    timestep: float, config: str, seed: int
) -> None:
    picture, noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()
    process = noise_model_of(CONFIGS[config])
    signal, level = (process.noised(a, b, timestep) for a, b in ((ONE, 0 * ONE), (0 * ONE, ONE)))
    latents = process.noised(picture, noise, timestep)
    prediction = noise if config == "epsilon" else signal * noise - level * picture
    point, flow = process.as_flow(latents, prediction, timestep)
    share = level / (signal + level)
    torch.testing.assert_close(flow, noise - picture)
    torch.testing.assert_close(point, (1 - share) * picture + share * noise)
    torch.testing.assert_close(point, process.flow_point(latents, timestep))
    torch.testing.assert_close(process.from_flow(point, flow, timestep), prediction)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 999.0), st.floats(0.0, 999.0), st.sampled_from(sorted(CONFIGS)))
def test_later_timesteps_hold_less_of_the_picture(a: float, b: float, config: str) -> None:
    process = noise_model_of(CONFIGS[config])
    one, nothing = torch.ones(1), torch.zeros(1)
    early, late = (process.noised(one, nothing, t) for t in sorted((a, b)))
    assert late <= early


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 998.9), st.sampled_from(sorted(CONFIGS)))
def test_a_noise_level_of_a_diffusion_has_one_timestep(timestep: float, config: str) -> None:
    process = noise_model_of(CONFIGS[config])
    signal, level = (process.noised(a, b, timestep) for a, b in ((ONE, 0 * ONE), (0 * ONE, ONE)))
    assert process.timestep_at(float(level / signal)) == pytest.approx(timestep, abs=1e-6)


@pytest.mark.parametrize(("sigma", "timestep"), [(1e-9, 0.0), (1e9, 999.0)])
def test_a_noise_level_beyond_the_training_is_its_nearest(sigma: float, timestep: float) -> None:
    assert noise_model_of(EPSILON).timestep_at(sigma) == timestep


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.0))
def test_a_flow_is_a_straight_line_from_picture_to_noise(t: float) -> None:
    picture, noise = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    process = noise_model_of(FLOW)
    latents = process.noised(picture, noise, 1000 * t)
    torch.testing.assert_close(latents, (1 - t) * picture + t * noise)
    assert process.as_flow(latents, noise, 1000 * t) == (latents, noise)
    assert process.from_flow(latents, noise, 1000 * t) is noise
    assert process.timestep_at(t) == pytest.approx(1000 * t)


@pytest.mark.parametrize(
    ("config", "share", "timestep"),
    [(EPSILON, 0.1, 100.0), (EPSILON, 1.0, 999.0), (FLOW, 0.1, 100.0), (FLOW, 1.0, 1000.0)],
)
def test_a_share_of_the_schedule_is_a_timestep(
    config: dict[str, Any], share: float, timestep: float
) -> None:
    process = noise_model_of(config)
    assert process.timestep_of(share) == pytest.approx(timestep)
    assert process.timestep_of(0.0) == 0.0


@pytest.mark.parametrize("config", [EPSILON, FLOW], ids=["diffusion", "flow"])
def test_the_schedule_goes_from_noise_to_the_picture(config: dict[str, Any]) -> None:
    process = noise_model_of(config)
    shares = [process.noise_share(process.last_timestep * (1 - i / 10)) for i in range(11)]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(shares)


def test_a_shifted_flow_counts_its_schedule_before_the_shift() -> None:
    """As published workflows do: half of a schedule shifted by 3 is at t = 3/4."""
    assert noise_model_of(FLOW).noise_share(750.0) == pytest.approx(0.5)
    assert noise_model_of(FLOW, 1.0).noise_share(750.0) == pytest.approx(0.25)
    by_size = noise_model_of(FLOW | {"use_dynamic_shifting": True})
    assert isinstance(by_size, FlowNoise)
    assert by_size.shift == 1.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, "diffusion"),
        ("DDIMScheduler", "diffusion"),
        ("PNDMScheduler", "diffusion"),
        ("FlowMatchEulerDiscreteScheduler", "flow"),
        ("FlowMatchHeunDiscreteScheduler", "flow"),
    ],
)
def test_the_scheduler_of_a_checkpoint_says_its_kind(name: str | None, kind: str) -> None:
    config = EPSILON | ({} if name is None else {"_class_name": name})
    assert noise_kind(config) == kind == noise_model_of(config).kind


def test_another_noise_model_is_refused() -> None:
    message = "_class_name of the model's scheduler: got 'EDMEulerScheduler', allowed: DDIMSch"
    with pytest.raises(ValueError, match=message):
        noise_model_of({"_class_name": "EDMEulerScheduler"})


def test_a_flow_that_counts_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match=r"invert_sigmas .* got True, allowed: False"):
        noise_model_of(FLOW | {"invert_sigmas": True})


def test_a_prediction_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="prediction_type of the model: got 'sample', allowed"):
        noise_model_of(EPSILON | {"prediction_type": "sample"})
