"""The autoencoder's two stages, a few steps each."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from lafi_tiny import train_vae as stage
from lafi_tiny.architecture import Architecture, build_vae
from lafi_tiny.dataset import load_pictures
from lafi_tiny.latents import encoder_fingerprint
from lafi_tiny.train_vae import VaeTraining, load_vae, refine_decoder, train_vae
from lafi_tiny.training import from_pixels


def _equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


def test_a_run_goes_on_where_it_stopped(folder: Path, tiny: Architecture) -> None:
    kept = torch.load(folder / "vae.pt", weights_only=True)
    assert kept["step"] == 2
    again = train_vae(tiny, VaeTraining(steps=2, batch=4), folder)
    assert all(torch.equal(v, kept["vae"][k]) for k, v in again.state_dict().items())
    longer = train_vae(tiny, VaeTraining(steps=3, batch=4, save_every=99), folder)
    assert torch.load(folder / "vae.pt", weights_only=True)["step"] == 3
    assert not _equal(again, longer)
    assert (folder / "grids" / "vae_000003.png").exists()


def test_the_optimizer_goes_on_too(finished: Path, tiny: Architecture) -> None:
    vae = build_vae(tiny)
    optimizer = torch.optim.AdamW(vae.parameters())
    assert stage._resume(finished / "vae.pt", vae, optimizer) == 2
    kept = torch.load(finished / "vae.pt", weights_only=True)["optimizer"]["state"]
    found = optimizer.state_dict()["state"]
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[k]["exp_avg"], kept[k]["exp_avg"]) for k in kept)
    assert found[0]["step"] == 2


def test_scaled_latents_have_a_spread_of_one(finished: Path, vae: AutoencoderKL) -> None:
    with torch.inference_mode():
        images = from_pixels(load_pictures(finished / "pictures"))
        means = vae.encode(images).latent_dist.mean
    assert (means * vae.config.scaling_factor).std().item() == pytest.approx(1, rel=1e-3)


def test_the_posterior_begins_almost_without_noise(tiny: Architecture) -> None:
    vae = build_vae(tiny)
    stage._start_almost_without_noise(vae)
    with torch.inference_mode():
        posterior = vae.encode(torch.zeros(1, 3, 64, 64)).latent_dist
    assert posterior.std.max() < 0.3


def test_the_decoder_is_refined_while_every_latent_stays(folder: Path, tiny: Architecture) -> None:
    before = load_vae(tiny, folder)
    refine_decoder(tiny, VaeTraining(steps=2, batch=4), folder)
    after = load_vae(tiny, folder)
    assert encoder_fingerprint(after) == encoder_fingerprint(before)
    assert after.config.scaling_factor == pytest.approx(before.config.scaling_factor)
    assert _equal(after.encoder, before.encoder)
    assert not _equal(after.decoder, before.decoder)


def test_the_decoder_goes_on_where_it_stopped(folder: Path, tiny: Architecture) -> None:
    refine_decoder(tiny, VaeTraining(steps=2, batch=4), folder)
    kept = torch.load(folder / "vae.pt", weights_only=True)
    assert (kept["step"], kept["decoder"]["step"]) == (2, 2)
    refine_decoder(tiny, VaeTraining(steps=2, batch=4), folder)
    assert _equal(load_vae(tiny, folder), _loaded(tiny, kept["vae"]))
    refine_decoder(tiny, VaeTraining(steps=3, batch=4), folder)
    longer = torch.load(folder / "vae.pt", weights_only=True)["decoder"]
    assert longer["step"] == 3
    assert longer["optimizer"]["state"][0]["step"] == 3


def test_the_decoder_begins_anew_for_another_encoder(folder: Path, tiny: Architecture) -> None:
    refine_decoder(tiny, VaeTraining(steps=2, batch=4), folder)
    train_vae(tiny, VaeTraining(steps=3, batch=4), folder)
    kept = torch.load(folder / "vae.pt", weights_only=True)
    assert kept["step"] == 3
    assert "decoder" not in kept


def _loaded(arch: Architecture, weights: dict[str, torch.Tensor]) -> AutoencoderKL:
    vae = build_vae(arch)
    vae.load_state_dict(weights)
    return vae


def test_without_a_vae_the_error_says_what_to_run(folder: Path, tiny: Architecture) -> None:
    (folder / "vae.pt").unlink()
    wanted = r"no vae\.pt in .*: run `python -m lafi_tiny vae` first"
    with pytest.raises(FileNotFoundError, match=wanted):
        load_vae(tiny, folder)
    with pytest.raises(FileNotFoundError, match=wanted):
        refine_decoder(tiny, VaeTraining(steps=1, batch=2), folder)
