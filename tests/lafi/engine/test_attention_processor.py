"""The op inside a diffusers UNet: routes as an argument, nothing else changed."""

import logging
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.engine.torch.attention import (
    CrossAttentionProcessor,
    install_processors,
    to_tokens,
    word_offsets,
)
from lafi.model.families.unet import self_attention_layers
from lafi.ports.engines import DenoiserBatch


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


def injection(rows: int, height: int, width: int, *, routed_from: int = 99) -> DenoiserBatch:
    """Every row but the first reads row 0 from layer `routed_from` on."""
    routes = torch.full((10, rows, 1), -1, dtype=torch.int32)
    routes[routed_from:, 1:] = 0
    return DenoiserBatch(
        {
            "routes": routes,
            "bias": torch.zeros(rows, 1),
            "mask": torch.ones(rows, height, width),
            "region": torch.ones(rows, 1, height, width),
        }
    )


def run(unet: UNet2DConditionModel, x: tuple[Tensor, ...], y: DenoiserBatch | None) -> Tensor:
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
    fewer = y["routes"].clone()
    fewer[:, 2] = -1
    both, one = run(unet, x, y), run(unet, x, y.changed(routes=fewer))
    torch.testing.assert_close(one[1], both[1], rtol=0.0, atol=1e-6)


def test_empty_masks_and_regions_are_no_injection(unet: UNet2DConditionModel) -> None:
    x, y = inputs(2, 8, 8), injection(2, 8, 8, routed_from=0)
    plain = run(unet, x, injection(2, 8, 8))
    unmasked = y.changed(mask=torch.zeros_like(y["mask"]))
    torch.testing.assert_close(run(unet, x, unmasked), plain, rtol=0.0, atol=1e-5)
    nowhere = y.changed(region=torch.zeros_like(y["region"]))
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


def test_cross_attention_needs_the_grid_of_self_attention(checkpoint: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet")
    layers = self_attention_layers(unet)
    with pytest.raises(ValueError, match=r"down_blocks\.0\..*: cross-attention without self-"):
        install_processors(unet, layers[1:])


HEIGHT, WIDTH = 6, 8
LEFT = (torch.arange(WIDTH) < 4).float().expand(HEIGHT, WIDTH)


def limited(slots: list[int], regions: Tensor) -> DenoiserBatch:
    """One row whose first text tokens are limited to regions (R, h, w), in a picture of LEFT."""
    words = torch.full((1, 48), -1, dtype=torch.int32)
    words[0, 1 : 1 + len(slots)] = torch.tensor(slots)
    count = len(regions)
    routes = torch.full((10, 1, count), -1, dtype=torch.int32)
    ports = {"routes": routes, "bias": torch.zeros(1, count), "region": regions[None]}
    return DenoiserBatch(ports | {"mask": torch.ones(1, HEIGHT, WIDTH), "words": words})


@pytest.fixture(scope="module")
def layer() -> Attention:
    torch.manual_seed(3)
    attention = Attention(query_dim=16, cross_attention_dim=12, heads=2, dim_head=8)
    attention.set_processor(CrossAttentionProcessor(1))
    return attention.eval()


def attend(layer: Attention, text: Tensor, given: DenoiserBatch | None) -> Tensor:
    """(h, w, C): what a layer reads from text (1, T, D), the same picture every time."""
    hidden = torch.randn(1, HEIGHT * WIDTH, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out: Tensor = layer(hidden, encoder_hidden_states=text, injection=given)
    return out[0].view(HEIGHT, WIDTH, -1)


def random_text(seed: int) -> Tensor:
    return torch.randn(1, 48, 12, generator=torch.Generator().manual_seed(seed))


def test_words_without_limits_or_with_the_whole_picture_are_plain(layer: Attention) -> None:
    text = random_text(1)
    plain = attend(layer, text, None)
    for unlimited in (limited([], LEFT[None]), limited([0, 0], torch.ones(1, HEIGHT, WIDTH))):
        torch.testing.assert_close(attend(layer, text, unlimited), plain)


def test_limited_words_act_in_their_region_only(layer: Attention) -> None:
    """Words 1 and 2 are the left half's, word 3 the right half's."""
    text, given = random_text(1), limited([0, 0, 1], torch.stack([LEFT, 1 - LEFT]))
    out = attend(layer, text, given)
    without = [torch.cat([text[:, :a], text[:, b:]], dim=1) for a, b in ((3, 4), (1, 3))]
    torch.testing.assert_close(out[:, :4], attend(layer, without[0], None)[:, :4])
    torch.testing.assert_close(out[:, 4:], attend(layer, without[1], None)[:, 4:])
    changed = text.clone()
    changed[:, 1:3] += 1.0
    other = attend(layer, changed, given)
    assert torch.equal(other[:, 4:], out[:, 4:])
    assert (other[:, :4] - out[:, :4]).abs().max() > 1e-3


def test_a_weight_is_that_many_copies_of_a_word(layer: Attention) -> None:
    text = random_text(2)
    third = attend(layer, text, limited([0], torch.full((1, HEIGHT, WIDTH), 1 / 3)))
    others = torch.cat([text[:, :2]] + [text[:, :1]] * 2 + [text[:, 2:]] * 3, dim=1)
    torch.testing.assert_close(third, attend(layer, others, None))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_an_offset_is_the_logarithm_of_its_tokens_weight(
    data: st.DataObject, rows: int, slots: int, places: int, tokens: int
) -> None:
    words = torch.tensor(
        [[data.draw(st.integers(-1, slots - 1)) for _ in range(tokens)] for _ in range(rows)]
    )
    seed = data.draw(st.integers(0, 99))
    region = torch.rand(rows, slots, places, generator=torch.Generator().manual_seed(seed)).round(
        decimals=1
    )
    weights = word_offsets(words.int(), region).exp()
    for row in range(rows):
        for token in range(tokens):
            slot = int(words[row, token])
            expected = torch.ones(places) if slot < 0 else region[row, slot]
            torch.testing.assert_close(weights[row, :, token], expected)


def test_in_a_unet_words_are_limited_in_their_rows_only(unet: UNet2DConditionModel) -> None:
    x, y = inputs(2, 8, 12), injection(2, 8, 12)
    plain = run(unet, x, y)
    words = torch.full((2, 48), -1, dtype=torch.int32)
    torch.testing.assert_close(run(unet, x, y.changed(words=words)), plain)
    words[1, 1:20] = 0
    half = torch.zeros_like(y["region"])
    half[..., :6] = 1.0
    masked = run(unet, x, y.changed(words=words, region=half))
    torch.testing.assert_close(masked[0], plain[0], rtol=0.0, atol=1e-6)
    assert (masked[1] - plain[1]).abs().max() > 1e-5
