"""A diffusers folder as one file with the original repositories' names, as people publish it.

The names are those of CompVis/stable-diffusion, Stability-AI/generative-models and OpenCLIP.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_OPEN = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def original(folder: Path) -> dict[str, Tensor]:
    """All tensors of a small SD1.5, SD2.1 or SDXL folder by their original names."""
    xl = (folder / "text_encoder_2").is_dir()
    tensors = {f"model.diffusion_model.{k}": v for k, v in unet(part(folder, "unet")).items()}
    tensors |= {f"first_stage_model.{k}": v for k, v in vae(part(folder, "vae")).items()}
    text = part(folder, "text_encoder")
    if xl:
        begin = "conditioner.embedders.0.transformer."
        tensors |= {f"{begin}{k}": v for k, v in text.items()}
        second = open_clip(part(folder, "text_encoder_2"))
        return tensors | {f"conditioner.embedders.1.model.{k}": v for k, v in second.items()}
    if "gelu" in (folder / "text_encoder" / "config.json").read_text().replace("quick_gelu", ""):
        return tensors | {f"cond_stage_model.model.{k}": v for k, v in open_clip(text).items()}
    return tensors | {f"cond_stage_model.transformer.{k}": v for k, v in text.items()}


def part(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a part's only file."""
    (file,) = (folder / name).glob("*.safetensors")
    return load_file(file)


def unet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The denoiser's tensors, without what a whole file puts before their names."""
    attended = {int(name.split(".")[1]) for name in tensors if re.match(r"up_.*attentions", name)}
    return {_unet_name(name, attended): value for name, value in tensors.items()}


def _unet_name(name: str, attended: set[int]) -> str:
    module, _, kind = name.rpartition(".")
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module]}.{kind}"
    side, block, inner, index, rest = _split(name)
    if side == "mid_block":
        place = 1 if inner == "attentions" else 2 * int(index)
        return f"middle_block.{place}.{_inside(inner, rest)}"
    layers = 3
    if inner == "downsamplers":
        return f"input_blocks.{layers * (block + 1)}.0.op.{rest.rpartition('.')[2]}"
    if inner == "upsamplers":
        # Behind the attention, or behind the resnet in a block without one.
        place = 2 if block in attended else 1
        return f"output_blocks.{layers * block + 2}.{place}.conv.{rest.rpartition('.')[2]}"
    number = block * layers + int(index) + (1 if side == "down_blocks" else 0)
    first = "input_blocks" if side == "down_blocks" else "output_blocks"
    return f"{first}.{number}.{1 if inner == 'attentions' else 0}.{_inside(inner, rest)}"


def _split(name: str) -> tuple[str, int, str, str, str]:
    match = re.match(r"(down_blocks|up_blocks)\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if match:
        return match[1], int(match[2]), match[3], match[4], match[5]
    match = re.match(r"(mid_block)\.(\w+)\.(\d+)\.(.+)", name)
    assert match, name
    return match[1], 0, match[2], match[3], match[4]


def _inside(inner: str, rest: str) -> str:
    module, _, kind = rest.rpartition(".")
    return f"{_RESNET.get(module, module)}.{kind}" if inner == "resnets" else rest


def vae(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The autoencoder's; its attention is stored as 1 x 1 convolutions."""
    found = {}
    for name, value in tensors.items():
        new = name
        for match in [re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(.+)", name)]:
            if match:
                number = int(match[3]) if match[2] == "down" else 3 - int(match[3])
                rest = match[4].replace("resnets.", "block.")
                rest = rest.replace("downsamplers.0.", "downsample.")
                rest = rest.replace("upsamplers.0.", "upsample.")
                new = f"{match[1]}.{match[2]}.{number}.{rest}"
        new = new.replace("mid_block.resnets.0", "mid.block_1")
        new = new.replace("mid_block.resnets.1", "mid.block_2").replace(
            "conv_shortcut", "nin_shortcut"
        )
        new = new.replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0" in new:
            new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
            for theirs, ours in (
                ("q", "to_q"),
                ("k", "to_k"),
                ("v", "to_v"),
                ("proj_out", "to_out.0"),
            ):
                new = new.replace(f".{ours}.", f".{theirs}.")
            if value.ndim == 2:
                value = value[:, :, None, None]
        found[new] = value
    return found


def open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's names; query, key and value are one tensor there."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        inner = name.removeprefix("text_model.")
        match = re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$", inner)
        if match is None:
            new = {
                "embeddings.token_embedding.weight": "token_embedding.weight",
                "embeddings.position_embedding.weight": "positional_embedding",
                "final_layer_norm.weight": "ln_final.weight",
                "final_layer_norm.bias": "ln_final.bias",
                "text_projection.weight": "text_projection",
            }[inner]
            found[new] = value.T.contiguous() if new == "text_projection" else value
        elif match[2] == "self_attn.q_proj":
            stem = name.removesuffix(f"q_proj.{match[3]}")
            joined = [tensors[f"{stem}{one}_proj.{match[3]}"] for one in "qkv"]
            found[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[3]}"] = torch.cat(joined)
        elif match[2] in _OPEN:
            found[f"transformer.resblocks.{match[1]}.{_OPEN[match[2]]}.{match[3]}"] = value
    return found
