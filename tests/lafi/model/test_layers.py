"""Layer order and presets, on hand-written tables and on diffusers' own modules."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.model.families.unet import first_injected_layer, self_attention_layers
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.layers import injected_layers

PRESETS = ("none", "all", "decoder", "balanced", "texture")

Blocks = list[tuple[str, int, int, int]]
"""Path, transformer modules, transformer blocks in each, downscale; in forward order."""

SDXL: Blocks = [
    ("down_blocks.1", 2, 2, 2),
    ("down_blocks.2", 2, 10, 4),
    ("mid_block", 1, 10, 4),
    ("up_blocks.0", 3, 10, 4),
    ("up_blocks.1", 3, 2, 2),
]
SD15: Blocks = [
    ("down_blocks.0", 2, 1, 1),
    ("down_blocks.1", 2, 1, 2),
    ("down_blocks.2", 2, 1, 4),
    ("mid_block", 1, 1, 8),
    ("up_blocks.1", 3, 1, 4),
    ("up_blocks.2", 3, 1, 2),
    ("up_blocks.3", 3, 1, 1),
]


def table(blocks: Blocks) -> list[tuple[str, str, int]]:
    """(name, block, downscale) of every layer."""
    return [
        (
            f"{path}.attentions.{i}.transformer_blocks.{j}.attn1",
            path.replace("_blocks", "").replace("_block", ""),
            downscale,
        )
        for path, modules, depth, downscale in blocks
        for i in range(modules)
        for j in range(depth)
    ]


def layers_of(blocks: Blocks) -> list[AttentionSite]:
    return [
        AttentionSite(name=name, block=block, heads=1, width=8, downscale=downscale)
        for name, block, downscale in table(blocks)
    ]


def meta_unet(**config: Any) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def sdxl() -> UNet2DConditionModel:
    return meta_unet(
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(320, 640, 1280),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
    )


def sd15() -> UNet2DConditionModel:
    return meta_unet(cross_attention_dim=768, attention_head_dim=8)


@pytest.mark.parametrize(
    ("blocks", "count", "starts"),
    [(SDXL, 70, (70, 0, 34, 44, 54)), (SD15, 16, (16, 0, 7, 10, 13))],
)
def test_presets_start_where_the_design_says(
    blocks: Blocks, count: int, starts: tuple[int, ...]
) -> None:
    layers = layers_of(blocks)
    assert len(layers) == count
    assert tuple(first_injected_layer(layers, preset) for preset in PRESETS) == starts


@pytest.mark.parametrize(("build", "blocks"), [(sdxl, SDXL), (sd15, SD15)])
def test_layers_of_a_real_architecture_come_in_forward_order(build: Any, blocks: Blocks) -> None:
    unet = build()
    layers = self_attention_layers(unet)
    assert [(x.name, x.block, x.downscale) for x in layers] == table(blocks)
    assert all(unet.get_submodule(x.name).heads == x.heads for x in layers)
    assert {(x.width, x.heads) for x in layers if x.block == "up.1"} == (
        {(640, 10)} if build is sdxl else {(1280, 8)}
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4))
def test_presets_nest_and_start_at_modules(ups: list[tuple[int, int]]) -> None:
    """texture is within balanced is within decoder is within all; none is empty."""
    blocks: Blocks = [("down_blocks.0", 1, 1, 1)]
    blocks += [(f"up_blocks.{i}", modules, depth, 1) for i, (modules, depth) in enumerate(ups)]
    layers = layers_of(blocks)
    none, all_, decoder, balanced, texture = (first_injected_layer(layers, p) for p in PRESETS)
    assert 0 == all_ < decoder == 1 <= balanced <= texture < none == len(layers)
    for start in (decoder, balanced, texture):
        assert ".transformer_blocks.0." in layers[start].name


@pytest.fixture
def sd15_info(small_model: ModelInfo) -> ModelInfo:
    return small_model.model_copy(update={"layers": tuple(layers_of(SD15))})


@pytest.mark.parametrize("start", [0, 9, 16])
def test_a_start_index_is_taken_as_it_is(sd15_info: ModelInfo, start: int) -> None:
    assert injected_layers(sd15_info, start) == tuple(range(start, 16))


def test_a_preset_is_the_layers_that_it_stands_for(sd15_info: ModelInfo) -> None:
    assert injected_layers(sd15_info, "none") == ()
    assert injected_layers(sd15_info, "decoder") == tuple(range(7, 16))


def test_a_list_is_a_set_of_layers(sd15_info: ModelInfo) -> None:
    assert injected_layers(sd15_info, (11, 2, 3)) == (2, 3, 11)
    with pytest.raises(ValueError, match="layers: got 16, allowed 0 to 15"):
        injected_layers(sd15_info, (3, 16))


def test_presets_of_the_model_replace_those_of_its_family(sd15_info: ModelInfo) -> None:
    found = sd15_info.model_copy(update={"presets": {"texture": (4, 9)}})
    assert injected_layers(found, "texture") == (4, 9)
    with pytest.raises(ValueError, match="layers: got 'decoder', allowed texture or an index"):
        injected_layers(found, "decoder")


def test_what_is_not_allowed_is_named(sd15_info: ModelInfo) -> None:
    with pytest.raises(ValueError, match="layers: got 17, allowed 0 to 16 or a preset"):
        injected_layers(sd15_info, 17)
    with pytest.raises(ValueError, match="layers: got 'deep', allowed default, none, all, decoder"):
        injected_layers(sd15_info, "deep")
    # Without self-attention in the up blocks.
    without = sd15_info.model_copy(update={"layers": sd15_info.layers[:7]})
    with pytest.raises(ValueError, match="layers: got 'balanced', allowed none, all or an index"):
        injected_layers(without, "balanced")
