"""The cache of latents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from lafi_tiny.dataset import load_pictures
from lafi_tiny.latents import LatentCache, encoder_fingerprint
from lafi_tiny.training import from_pixels


def _refuse_to_encode(vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing was to be encoded")

    monkeypatch.setattr(vae, "encode", encode)


@pytest.fixture
def pictures_only(folder: Path) -> Path:
    """The pictures of the finished run, without latents."""
    for stored in folder.glob("latents_*/*.npy"):
        stored.unlink()
    return folder


def test_the_cache_grows_by_a_chunk_until_there_is_none(
    pictures_only: Path, vae: AutoencoderKL
) -> None:
    cache = LatentCache(pictures_only, vae, start_chunks=2)
    sizes = [len(cache)]
    while cache.grow():
        sizes.append(len(cache))
    assert sizes == [16, 24, 32]
    assert not cache.grow()
    assert len(cache) == 32
    assert len(LatentCache(pictures_only, vae, start_chunks=99)) == 32


def test_it_gives_back_what_the_vae_encoded_scaled(pictures_only: Path, vae: AutoencoderKL) -> None:
    cache = LatentCache(pictures_only, vae, start_chunks=4)
    indices = np.array([31, 0, 8, 7, 0])
    batch = cache.batch(indices)
    assert batch.dtype == torch.float32
    assert batch.shape == (5, 4, 16, 16)
    with torch.inference_mode():
        images = from_pixels(load_pictures(pictures_only / "pictures")[indices])
        expected = vae.encode(images).latent_dist.mean * vae.config.scaling_factor
    assert (batch - expected).abs().mean() < 0.05 * expected.std()
    assert torch.equal(batch[1], batch[4])


def test_what_was_encoded_is_not_encoded_again(
    pictures_only: Path, vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = LatentCache(pictures_only, vae, start_chunks=4).batch(np.arange(32))
    _refuse_to_encode(vae, monkeypatch)
    again = LatentCache(pictures_only, vae, start_chunks=4).batch(np.arange(32))
    assert torch.equal(first, again)


def test_a_changed_decoder_keeps_the_latents_and_a_changed_encoder_does_not(
    pictures_only: Path, vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = LatentCache(pictures_only, vae, start_chunks=1)
    with torch.no_grad():
        for p in (*vae.decoder.parameters(), *vae.post_quant_conv.parameters()):
            p.add_(0.1)
    with monkeypatch.context() as patch:
        _refuse_to_encode(vae, patch)
        assert LatentCache(pictures_only, vae, start_chunks=1).stored == before.stored
    with torch.no_grad():
        vae.quant_conv.bias.add_(0.1)
    after = LatentCache(pictures_only, vae, start_chunks=1)
    assert after.stored != before.stored
    assert not torch.equal(after.batch(np.arange(8)), before.batch(np.arange(8)))


def test_the_fingerprint_does_not_depend_on_where_the_weights_came_from(
    vae: AutoencoderKL, finished: Path
) -> None:
    name = encoder_fingerprint(vae)
    assert name == encoder_fingerprint(vae)
    assert len(name) == 8
    assert int(name, 16) >= 0
    assert (finished / f"latents_{name}").is_dir()


def test_workers_share_out_the_encoding_and_read_each_others(
    pictures_only: Path, vae: AutoencoderKL
) -> None:
    first, second = (LatentCache(pictures_only, vae, 0, worker, 2) for worker in (0, 1))
    assert not second.grow()
    assert first.grow()
    assert not first.grow()
    assert second.grow()
    assert second.grow()
    assert first.grow()
    assert first.grow()
    assert (len(first), len(second)) == (24, 16)
    alone = LatentCache(pictures_only, vae, start_chunks=3)
    assert torch.equal(first.batch(np.arange(24)), alone.batch(np.arange(24)))
