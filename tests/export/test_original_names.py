"""Block names of the original repository against diffusers' own conversion."""

from types import SimpleNamespace

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

from lafi_export.original_names import diffusers_block_name

INSIDE = ("proj_in", "transformer_blocks_0_attn1_to_q", "transformer_blocks_1_ff_net_2")
BLOCKS = (
    *(f"input_blocks_{i}_1" for i in (1, 2, 4, 5, 7, 8)),
    "middle_block_1",
    *(f"output_blocks_{i}_1" for i in range(9)),
)


@pytest.mark.parametrize("block", BLOCKS)
def test_attention_is_where_diffusers_puts_it(block: str) -> None:
    for inside in INSIDE:
        key = f"lora_unet_{block}_{inside}.lora_down.weight"
        (theirs,) = _maybe_map_sgm_blocks_to_diffusers(
            {key: torch.zeros(1)}, SimpleNamespace(layers_per_block=2)
        )
        # A later step of theirs renames the three sides.
        for side, name in {"input": "down", "middle": "mid", "output": "up"}.items():
            theirs = theirs.replace(f"{side}_block", f"{name}_block")
        assert f"lora_unet_{diffusers_block_name(f'{block}_{inside}')}.lora_down.weight" == theirs


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("input_blocks_0_0", "input_blocks_0_0"),
        ("input_blocks_3_0_op", "down_blocks_0_downsamplers_0_conv"),
        ("input_blocks_4_0_in_layers_2", "down_blocks_1_resnets_0_conv1"),
        ("input_blocks_4_0_skip_connection", "down_blocks_1_resnets_0_conv_shortcut"),
        ("middle_block_2_out_layers_3", "mid_block_resnets_1_conv2"),
        ("output_blocks_2_1_conv", "up_blocks_0_upsamplers_0_conv"),
        ("output_blocks_5_2_conv", "up_blocks_1_upsamplers_0_conv"),
        ("output_blocks_5_0_emb_layers_1", "up_blocks_1_resnets_2_time_emb_proj"),
        ("down_blocks_1_attentions_0_proj_in", "down_blocks_1_attentions_0_proj_in"),
        ("conv_in", "conv_in"),
    ],
)
def test_other_modules(original: str, expected: str) -> None:
    assert diffusers_block_name(original) == expected
