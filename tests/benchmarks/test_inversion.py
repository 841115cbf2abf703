import diffusers
import pytest
import torch
from torch import Tensor

from benchmarks.peers.reference_path import inverted
from lafi.model.info import ModelInfo

TIMESTEPS = [900.0, 700.0, 500.0, 300.0, 100.0]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_model_that_knows_the_noise_is_inverted_exactly(kind: str) -> None:
    """Where the prediction does not depend on the latents, the way back is the forward process."""
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    alphas = diffusers.DDPMScheduler.from_config(config).alphas_cumprod.double()
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 8, 8, generator=generator)
    info = ModelInfo.model_construct(scheduler_config=config, prediction_type=kind)
    asked: list[float] = []

    def predict(latents: Tensor, timestep: float) -> Tensor:
        # The first latents are the clean picture, whatever the timestep says.
        alpha = float(alphas[int(timestep)]) if asked else 1.0
        asked.append(timestep)
        velocity = alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean
        return noise if kind == "epsilon" else velocity.float()

    path = inverted(clean, TIMESTEPS, info, predict)
    assert path.timesteps == tuple(TIMESTEPS)
    assert asked == [100.0, 100.0, 300.0, 500.0, 700.0]
    for timestep, latents in zip(path.timesteps, path.latents, strict=True):
        alpha = float(alphas[int(timestep)])
        expected = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
        assert torch.allclose(latents, expected, atol=1e-4)
