"""The op inside a diffusers UNet: routes as an argument, nothing else changed."""

import logging
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.engine.attention import InjectionInputs, install_processors, to_tokens
from lafi.layers import self_attention_layers


@pytest.fixture(scope="module")
def stock(checkpoint: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(checkpoint / "unet").eval()


@pytest.fixture(scope="module")
def unet(checkpoint: Path) -> UNet2DConditionModel:
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet").eval()
    return install_processors(unet, self_attention_layers(unet))


def inputs(rows: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    latents = torch.randn(rows, 4, height, width, generator=generator)
    text = torch.randn(rows, 48, 64, generator=generator)
    return latents, torch.linspace(900.0, 100.0, rows), text


def injection(rows: int, height: int, width: int, *, routed_from: int = 99) -> InjectionInputs:
    """Every row but the first reads row 0 from layer `routed_from` on."""
    routes = torch.full((10, rows, 1), -1, dtype=torch.int32)
    routes[routed_from:, 1:] = 0
    return InjectionInputs(
        routes,
        torch.zeros(rows, 1),
        torch.ones(rows, height, width),
        torch.ones(rows, 1, height, width),
    )


def run(unet: UNet2DConditionModel, x: tuple[Tensor, ...], y: InjectionInputs | None) -> Tensor:
    kwargs = None if y is None else {"injection": y}
    with torch.no_grad():
        return unet(*x, cross_attention_kwargs=kwargs).sample


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (7, 9)])
def test_without_routes_it_is_the_unet_of_diffusers(
    stock: UNet2DConditionModel, unet: UNet2DConditionModel, size: tuple[int, int]
) -> None:
    x = inputs(3, *size)
    expected = run(stock, x, None)
    torch.testing.assert_close(run(unet, x, None), expected)
    torch.testing.assert_close(run(unet, x, injection(3, *size)), expected)


@pytest.mark.parametrize("size", [(8, 8), (12, 8), (7, 9)])
def test_routes_change_their_rows_only(unet: UNet2DConditionModel, size: tuple[int, int]) -> None:
    x = inputs(3, *size)
    plain, routed = (run(unet, x, injection(3, *size, routed_from=f)) for f in (99, 4))
    torch.testing.assert_close(routed[0], plain[0], rtol=0.0, atol=1e-6)
    assert (routed[1:] - plain[1:]).abs().amax(dim=(1, 2, 3)).min() > 1e-4


def test_a_row_does_not_depend_on_what_others_route(unet: UNet2DConditionModel) -> None:
    x, y = inputs(3, 8, 8), injection(3, 8, 8, routed_from=4)
    fewer = y.routes.clone()
    fewer[:, 2] = -1
    both, one = run(unet, x, y), run(unet, x, y._replace(routes=fewer))
    torch.testing.assert_close(one[1], both[1], rtol=0.0, atol=1e-6)


def test_empty_masks_and_regions_are_no_injection(unet: UNet2DConditionModel) -> None:
    x, y = inputs(2, 8, 8), injection(2, 8, 8, routed_from=0)
    plain = run(unet, x, injection(2, 8, 8))
    unmasked = y._replace(mask=torch.zeros_like(y.mask))
    torch.testing.assert_close(run(unet, x, unmasked), plain, rtol=0.0, atol=1e-5)
    nowhere = y._replace(region=torch.zeros_like(y.region))
    torch.testing.assert_close(run(unet, x, nowhere), plain, rtol=0.0, atol=1e-5)


def test_diffusers_does_not_complain_of_the_argument(
    unet: UNet2DConditionModel, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("diffusers")
    logger.addHandler(caplog.handler)
    try:
        run(unet, inputs(1, 8, 8), injection(1, 8, 8))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_weights_are_averaged_over_what_a_token_covers(
    height: int, width: int, downscale: int, seed: int
) -> None:
    weights = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    rows, columns = (range(0, n, downscale) for n in (height, width))
    expected = [
        weights[..., y : y + downscale, x : x + downscale].mean(dim=(-1, -2))
        for y in rows
        for x in columns
    ]
    tokens = to_tokens(weights, downscale, len(expected))
    torch.testing.assert_close(tokens, torch.stack(expected, dim=-1))
    torch.testing.assert_close(to_tokens(weights[:, 0], downscale, len(expected)), tokens[:, 0])


def test_a_grid_of_another_size_is_named() -> None:
    with pytest.raises(RuntimeError, match="mask: 4 tokens at 1/2 of the latent, layer has 9"):
        to_tokens(torch.ones(1, 4, 4), 2, 9)


def test_attention_that_the_op_does_not_cover_is_refused(checkpoint: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    layers = self_attention_layers(unet)
    unet.get_submodule(layers[2].name).residual_connection = True
    with pytest.raises(ValueError, match=r"down_blocks\.2\..*with residual_connection is not"):
        install_processors(unet, layers)
