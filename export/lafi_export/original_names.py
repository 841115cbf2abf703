"""Block names of the original Stable Diffusion repository, which some LoRA files use.

`input_blocks`, `middle_block` and `output_blocks` number convolutions, attentions and samplers
in one sequence; diffusers groups them by resolution. Both SD and SDXL have two layers per block
(checkpoint layout of CompVis/stable-diffusion and Stability-AI/generative-models).
"""

import re
from typing import Final

_LAYERS_PER_BLOCK: Final = 2
_INNER: Final = ("resnets", "attentions", "upsamplers")
_MIDDLE: Final = {0: "resnets_0", 1: "attentions_0", 2: "resnets_1"}
_NAME: Final = re.compile(r"^(input_blocks|output_blocks)_(\d+)_(\d+)_(.+)$")
_MIDDLE_NAME: Final = re.compile(r"^middle_block_(\d+)_(.+)$")
_RESNET: Final = {
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}


def diffusers_block_name(module: str) -> str:
    """Translates a flat module name (`_` for `.`) to diffusers' name; leaves others unchanged.

    `output_blocks_3_1_proj_in` -> `up_blocks_1_attentions_0_proj_in`.
    """
    middle = _MIDDLE_NAME.match(module)
    if middle and int(middle[1]) in _MIDDLE:
        return f"mid_block_{_MIDDLE[int(middle[1])]}_{_inside(middle[2])}"
    match = _NAME.match(module)
    if match is None:
        return module
    side, index, inner, rest = match[1], int(match[2]), int(match[3]), match[4]
    return _down(index, inner, rest) if side == "input_blocks" else _up(index, inner, rest)


def _down(index: int, inner: int, rest: str) -> str:
    if index == 0:
        return "conv_in"
    block, layer = divmod(index - 1, _LAYERS_PER_BLOCK + 1)
    if layer == _LAYERS_PER_BLOCK:
        return f"down_blocks_{block}_downsamplers_0_conv"
    return f"down_blocks_{block}_{_INNER[inner]}_{layer}_{_inside(rest)}"


def _up(index: int, inner: int, rest: str) -> str:
    block, layer = divmod(index, _LAYERS_PER_BLOCK + 1)
    # An upsampler follows the attention, or the resnet in a block without attention.
    if rest == "conv":
        return f"up_blocks_{block}_upsamplers_0_conv"
    return f"up_blocks_{block}_{_INNER[inner]}_{layer}_{_inside(rest)}"


def _inside(rest: str) -> str:
    return _RESNET.get(rest, rest)
