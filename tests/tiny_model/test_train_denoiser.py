"""The denoiser's stage: what is in a batch, where the loss counts, and going on after a stop."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTokenizer

from lafi_tiny import train_denoiser as stage
from lafi_tiny.architecture import TEXT_LENGTH, Architecture, build_noise_schedule
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.latents import LatentCache
from lafi_tiny.team import Team, flat_gradients
from lafi_tiny.text_to_latent import TextToLatent, stage_tokenizer
from lafi_tiny.train_denoiser import (
    Batch,
    DenoiserTraining,
    train_denoiser,
)
from lafi_tiny.training import MovingAverage


class _Latents(LatentCache):
    """Stands in for encoded pictures: remembers which were asked for."""

    def __init__(self) -> None:
        self.asked: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return 1000

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        self.asked.append(indices)
        return torch.zeros(len(indices), 4, 16, 16)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), start=st.integers(0, 9000), worker=st.integers(0, 3))
def test_only_pictures_of_two_figures_are_inpainted_by_exact_halves(
    tokenizer: CLIPTokenizer, seed: int, start: int, worker: int
) -> None:
    settings_, spec, cache = DenoiserTraining(batch=24, seed=seed), DatasetSpec(), _Latents()
    batch = stage._Batches(settings_, spec, tokenizer, cache, start, worker).draw()
    (indices,) = cache.asked
    assert batch.latents.shape == (24, 4, 16, 16)
    assert batch.token_ids.shape == (24, TEXT_LENGTH)
    assert batch.fresh.shape == (24, 1, 1, 16)
    for index, fresh in zip(indices, batch.fresh[:, 0, 0], strict=True):
        rows = [int(v) for v in fresh.tolist()]
        assert rows in ([1] * 16, [1] * 8 + [0] * 8, [0] * 8 + [1] * 8)
        if spec.picture(int(index)).kind == "single":
            assert rows == [1] * 16
    assert (batch.given_timesteps <= batch.timesteps).all()
    assert batch.timesteps.min() >= 0
    assert batch.timesteps.max() < 1000


def test_shares_of_empty_captions_halves_and_clean_ones(tokenizer: CLIPTokenizer) -> None:
    cache = _Latents()
    batch = stage._Batches(
        DenoiserTraining(batch=1200), DatasetSpec(), tokenizer, cache, 0, 0
    ).draw()
    empty = torch.tensor(tokenizer("", padding="max_length").input_ids)
    assert (batch.token_ids == empty).all(1).float().mean() == pytest.approx(0.1, abs=0.03)
    double = np.array([DatasetSpec().picture(int(i)).kind != "single" for i in cache.asked[0]])
    given = (batch.fresh == 0).any(-1).flatten().numpy()
    assert given[double].mean() == pytest.approx(0.6, abs=0.06)
    left = batch.fresh[given][:, 0, 0, 0]
    assert left.mean().item() == pytest.approx(0.5, abs=0.08)
    assert (batch.given_timesteps == 0).float().mean() == pytest.approx(0.5, abs=0.06)


def test_workers_and_resumed_runs_draw_other_batches(tokenizer: CLIPTokenizer) -> None:
    def asked(start: int, worker: int) -> tuple[int, ...]:
        cache = _Latents()
        stage._Batches(
            DenoiserTraining(batch=8), DatasetSpec(), tokenizer, cache, start, worker
        ).draw()
        return tuple(cache.asked[0].tolist())

    assert asked(0, 0) == asked(0, 0)
    assert len({asked(0, 0), asked(0, 1), asked(500, 0), asked(500, 1)}) == 4


class _Constant(nn.Module):
    """Predicts one number everywhere and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.5))
        self.seen: Tensor | None = None

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        self.seen = noisy.detach().clone()
        return self.value.expand_as(noisy)


def test_the_loss_is_taken_on_the_fresh_half_and_the_given_half_is_cleaner() -> None:
    torch.manual_seed(0)
    latents = torch.randn(2, 4, 8, 8)
    fresh = torch.ones(2, 1, 1, 8)
    fresh[0, ..., :4] = 0
    batch = Batch(
        latents,
        torch.zeros(2, TEXT_LENGTH, dtype=torch.int64),
        torch.tensor([900, 400]),
        torch.tensor([0, 0]),
        fresh,
    )
    schedule, model = build_noise_schedule(), _Constant()
    torch.manual_seed(1)
    loss = stage._loss(model, schedule, batch, torch.device("cpu"))  # type: ignore[arg-type]
    loss.backward()
    torch.manual_seed(1)
    noise = torch.randn_like(latents)
    signal = schedule.alphas_cumprod[batch.timesteps].sqrt().view(-1, 1, 1, 1)
    sigma = (1 - signal**2).sqrt()
    error = (0.5 - (signal * noise - sigma * latents))[fresh.expand_as(latents).bool()]
    assert loss.item() == pytest.approx(error.pow(2).mean().item(), rel=1e-4)
    assert model.value.grad is not None
    assert model.value.grad.item() == pytest.approx(2 * error.mean().item(), rel=1e-3)
    assert model.seen is not None
    counted = fresh.expand_as(latents).bool()
    noisy = signal * latents + sigma * noise
    assert torch.allclose(model.seen[counted], noisy[counted], atol=1e-5)
    assert (model.seen - latents)[~counted].abs().max() < 0.2


def test_a_resumed_run_has_the_step_the_weights_and_the_optimizer(
    finished: Path, tiny: Architecture
) -> None:
    kept = torch.load(finished / "denoiser.pt", weights_only=True)
    model = TextToLatent(tiny, stage_tokenizer(finished))
    average = MovingAverage(model)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), fused=True)
    assert stage._resume(finished / "denoiser.pt", model, average, optimizer) == 2
    assert average.updates == kept["updates"] == 2
    assert all(torch.equal(v, kept["model"][k]) for k, v in model.state_dict().items())
    averaged = average.module.state_dict()
    assert all(torch.equal(v, kept["average"][k]) for k, v in averaged.items())
    moments = optimizer.state_dict()["state"]
    assert moments.keys() == kept["optimizer"]["state"].keys()
    for key, moment in kept["optimizer"]["state"].items():
        assert torch.equal(moments[key]["exp_avg_sq"], moment["exp_avg_sq"])


def test_a_run_goes_on_where_it_stopped(folder: Path, tiny: Architecture) -> None:
    state = folder / "denoiser.pt"
    before = state.read_bytes()
    train_denoiser(tiny, DenoiserTraining(steps=2, batch=2), folder)
    assert state.read_bytes() == before
    train_denoiser(tiny, DenoiserTraining(steps=3, batch=2, save_every=99), folder)
    kept = torch.load(state, weights_only=True)
    assert (kept["step"], kept["updates"]) == (3, 3)


def test_all_workers_begin_alike_and_see_other_pictures(
    folder: Path, tiny: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing sends weights round: workers stay alike only if they begin alike."""
    (folder / "denoiser.pt").unlink()
    weights: list[Tensor] = []
    averaged: list[Tensor] = []

    def begun(module: nn.Module) -> Tensor:
        weights.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
        return flat_gradients(module)

    monkeypatch.setattr(stage, "flat_gradients", begun)
    monkeypatch.setattr(Team, "wait", lambda team: None)
    monkeypatch.setattr(Team, "average", lambda team, flat: averaged.append(flat.clone()))
    for worker in (1, 0):
        train_denoiser(tiny, DenoiserTraining(steps=1, batch=2), folder, Team(worker, 2))
        assert (folder / "denoiser.pt").exists() == (worker == 0)
    assert torch.equal(weights[0], weights[1])
    assert averaged[0].abs().sum() > 0
    assert not torch.equal(averaged[0], averaged[1])


def test_timesteps_favour_the_middle_and_leave_no_level_out() -> None:
    timesteps = stage.random_timesteps(np.random.default_rng(0), 20_000)
    assert timesteps.min() >= 0
    assert timesteps.max() < 1000
    shares = np.histogram(timesteps, bins=10, range=(0, 1000))[0] / len(timesteps)
    assert shares.min() > 0.03
    assert shares[3:9].sum() > 0.7
