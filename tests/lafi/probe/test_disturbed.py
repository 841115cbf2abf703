"""What is taken from an attention is taken from it alone, and only while it is asked for."""

import copy
from typing import Any

import pytest
import torch

from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines
from lafi.ports.engines import DenoiserBatch, Engines
from lafi.probe.disturbed import DisturbedDenoiser
from lafi_export.parity_cases import denoiser_cases
from lafi_export.random_checkpoint import random_checkpoint


@pytest.fixture(scope="module", params=["sd15", "zimage", "flux", "sd3", "hunyuan"])
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    folder = tmp_path_factory.mktemp(request.param)
    random_checkpoint(request.param, folder, size="small")
    return load_torch_engines(folder)


def denoiser_of(engines: Engines) -> TorchDenoiser:
    assert isinstance(engines.denoiser, TorchDenoiser)
    return engines.denoiser


def batch_of(engines: Engines) -> DenoiserBatch:
    cases = denoiser_cases(engines.info, ((2, 2, 3),))
    return next(batch for name, batch in cases if "not routed" in name)


@pytest.mark.parametrize("kind", ["position", "content"])
def test_it_changes_the_prediction_and_leaves_the_network_as_it_was(
    engines: Engines, kind: Any
) -> None:
    denoiser, batch = denoiser_of(engines), batch_of(engines)
    before = denoiser(batch)
    for site in engines.info.layers[:: len(engines.info.layers) - 1]:
        found = DisturbedDenoiser(denoiser, denoiser.network, site, kind)(batch)
        assert (found - before).abs().max() > 1e-4, site.name
        torch.testing.assert_close(denoiser(batch), before, rtol=0, atol=0)


def test_one_token_cannot_be_disturbed(engines: Engines) -> None:
    """Its only place is its own, and its mean is itself."""
    denoiser, info = denoiser_of(engines), engines.info
    batch = next(iter(denoiser_cases(info, ((1, 1, 1),))))[1]
    side = batch["latents"].shape[-1]
    sites = [site for site in info.layers if site.downscale == side]
    assert sites
    for kind in ("position", "content"):
        disturbed = DisturbedDenoiser(denoiser, denoiser.network, sites[0], kind)
        torch.testing.assert_close(disturbed(batch), denoiser(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engines", ["zimage", "flux"], indirect=True)
def test_positions_of_rotary_attention_are_its_only_loss(engines: Engines) -> None:
    """Without rotation, tokens that stand elsewhere and come home again change nothing."""
    info = engines.info
    network = copy.deepcopy(denoiser_of(engines).network)
    denoiser = TorchDenoiser(network, info)
    placing = network.lafi_placing  # type: ignore[union-attr]
    still = [[0.0] * len(axis) for axis in placing.speeds]
    network.lafi_placing = type(placing)(placing.references, still)  # type: ignore[operator]
    batch = batch_of(engines)
    found = DisturbedDenoiser(denoiser, network, info.layers[-1], "position")(batch)
    torch.testing.assert_close(found, denoiser(batch), rtol=0, atol=1e-4)
