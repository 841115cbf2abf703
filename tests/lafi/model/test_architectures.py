"""The full-size configs are the published architectures: parameters, layers, presets."""

from collections import Counter
from functools import cache

import pytest
from diffusers import UNet2DConditionModel
from torch import nn

from lafi.model.architectures.registry import architecture
from lafi.model.families.unet import first_injected_layer, self_attention_layers
from lafi_export.random_checkpoint import meta_module

PARAMETERS = {
    ("sd15", "unet"): 859_520_964,
    ("sd15", "vae"): 83_653_863,
    ("sd15", "text_encoder"): 123_060_480,
    ("sd21", "unet"): 865_910_724,
    ("sd21", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
}
"""Of the published checkpoints."""

Row = tuple[str, int, int, int]
"""Block, tokens, width, heads."""

SDXL_1024: list[tuple[range, Row]] = [
    (range(4), ("down.1", 4096, 640, 10)),
    (range(4, 24), ("down.2", 1024, 1280, 20)),
    (range(24, 34), ("mid", 1024, 1280, 20)),
    (range(34, 64), ("up.0", 1024, 1280, 20)),
    (range(64, 70), ("up.1", 4096, 640, 10)),
]
SD15_512: list[tuple[range, Row]] = [
    (range(2), ("down.0", 4096, 320, 8)),
    (range(2, 4), ("down.1", 1024, 640, 8)),
    (range(4, 6), ("down.2", 256, 1280, 8)),
    (range(6, 7), ("mid", 64, 1280, 8)),
    (range(7, 10), ("up.1", 256, 1280, 8)),
    (range(10, 13), ("up.2", 1024, 640, 8)),
    (range(13, 16), ("up.3", 4096, 320, 8)),
]


@cache
def unet_of(name: str, size: str = "full") -> UNet2DConditionModel:
    unet = meta_module(architecture(name, size), "unet")  # type: ignore[arg-type]
    assert isinstance(unet, UNet2DConditionModel)
    return unet


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize(("name", "part"), PARAMETERS)
def test_parameters_are_as_many_as_published(name: str, part: str) -> None:
    module = meta_module(architecture(name), part)  # type: ignore[arg-type]
    assert count(module) == PARAMETERS[name, part]


@pytest.mark.parametrize(
    ("name", "side", "table"), [("sdxl", 1024, SDXL_1024), ("sd15", 512, SD15_512)]
)
def test_every_self_attention_layer_has_its_place_width_and_heads(
    name: str, side: int, table: list[tuple[range, Row]]
) -> None:
    layers = self_attention_layers(unet_of(name))
    expected = [row for indices, row in table for _ in indices]
    assert [
        (x.block, (side // 8 // x.downscale) ** 2, x.width, x.heads) for x in layers
    ] == expected


@pytest.mark.parametrize(
    ("name", "starts"), [("sdxl", (34, 44, 54)), ("sd15", (7, 10, 13)), ("sd21", (7, 10, 13))]
)
@pytest.mark.parametrize("size", ["full", "small"])
def test_presets_start_where_the_design_says(name: str, starts: tuple[int, ...], size: str) -> None:
    layers = self_attention_layers(unet_of(name, size))
    presets = ("decoder", "balanced", "texture")
    assert tuple(first_injected_layer(layers, preset) for preset in presets) == starts


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl"])
def test_small_keeps_the_modules_and_their_order(name: str) -> None:
    full, small = (
        Counter(type(module).__name__ for module in unet_of(name, size).modules())
        for size in ("full", "small")
    )
    assert full == small
    names = [[n for n, _ in unet_of(name, size).named_parameters()] for size in ("full", "small")]
    assert names[0] == names[1]


def test_head_widths_are_those_of_the_published_models() -> None:
    widths = {
        name: {x.width // x.heads for x in self_attention_layers(unet_of(name))}
        for name in ("sd15", "sd21", "sdxl")
    }
    assert widths == {"sd15": {40, 80, 160}, "sd21": {64}, "sdxl": {64}}


def test_what_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="architecture: got 'sd4', allowed sd15, sd21, sdxl, "):
        architecture("sd4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size: got 'large', allowed full, small"):
        architecture("sdxl", "large")  # type: ignore[arg-type]
