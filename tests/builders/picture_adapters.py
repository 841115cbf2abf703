"""Small random IP-Adapters as they are published, and an image encoder for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from lafi.model.picture_prompt_info import AdapterFiles

Kind = Literal["plain", "plus", "full"]
SIDE, PROJECTED, HIDDEN = 28, 24, 32
"""Of the image encoder's picture, embedding and hidden states."""


def random_image_encoder(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Writes the folder of one. changes: of its config."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": HIDDEN, "intermediate_size": 64, "projection_dim": PROJECTED}
    layers = {"num_hidden_layers": 3, "num_attention_heads": 2}
    config = CLIPVisionConfig(**(sizes | layers | {"image_size": SIDE, "patch_size": 7} | changes))
    made = CLIPVisionModelWithProjection(config)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    made.save_pretrained(folder)
    return folder


def adapter_tensors(checkpoint: Path, kind: Kind, seed: int) -> dict[str, Tensor]:
    """Tensors of an adapter for a checkpoint's UNet, by their published names."""
    generator = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(checkpoint / "unet"))
    found: dict[str, Tensor] = {}

    def add(name: str, *shape: int, std: float = 0.0) -> None:
        width = std or shape[-1] ** -0.5
        found[name] = torch.randn(shape, generator=generator) * width

    number = 1
    for name in unet.attn_processors:
        if "attn2" in name:
            text = unet.get_submodule(name.removesuffix(".processor"))
            for part in ("k", "v"):
                weight = text.to_k.weight.shape
                add(f"ip_adapter.{number}.to_{part}_ip.weight", *weight, std=2 * weight[1] ** -0.5)
            number += 2
    width = int(unet.config.cross_attention_dim)
    shapes = {"plain": _plain, "plus": _plus, "full": _full}[kind](width)
    for name, shape in shapes.items():
        add(f"image_proj.{name}", *shape)
        if "norm" in name and name.endswith("weight"):
            found[f"image_proj.{name}"] += 1.0
    return found


def random_adapter(
    checkpoint: Path, folder: Path, kind: Kind = "plain", seed: int = 1
) -> AdapterFiles:
    """Writes an adapter as `adapter.safetensors`, and an image encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_tensors(checkpoint, kind, seed), folder / "adapter.safetensors")
    encoder = random_image_encoder(folder / "image_encoder", seed)
    return AdapterFiles(folder / "adapter.safetensors", encoder)


def prompted_pipeline(pipeline: Any, files: AdapterFiles) -> Any:
    """diffusers' pipeline, with an adapter as its users load it."""
    pipeline.register_modules(
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(files.image_encoder),
        feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE),
    )
    file = files.adapter
    pipeline.load_ip_adapter(file.parent, subfolder="", weight_name=file.name)
    return pipeline


Shapes = Mapping[str, tuple[int, ...]]


def _plain(width: int) -> Shapes:
    norm = {"norm.weight": (width,), "norm.bias": (width,)}
    return {"proj.weight": (4 * width, PROJECTED), "proj.bias": (4 * width,), **norm}


def _full(width: int) -> Shapes:
    return {
        "proj.0.weight": (HIDDEN, HIDDEN),
        "proj.0.bias": (HIDDEN,),
        "proj.2.weight": (width, HIDDEN),
        "proj.2.bias": (width,),
        "proj.3.weight": (width,),
        "proj.3.bias": (width,),
    }


def _plus(width: int) -> Shapes:
    """A Resampler of four layers with one head of 64, and five queries."""
    inside = 64
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 5, inside),
        "proj_in.weight": (inside, HIDDEN),
        "proj_in.bias": (inside,),
        "proj_out.weight": (width, inside),
        "proj_out.bias": (width,),
        "norm_out.weight": (width,),
        "norm_out.bias": (width,),
    }
    for layer in range(4):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes[f"layers.{layer}.{norm}.weight"] = (inside,)
            shapes[f"layers.{layer}.{norm}.bias"] = (inside,)
        shapes[f"layers.{layer}.0.to_q.weight"] = (inside, inside)
        shapes[f"layers.{layer}.0.to_kv.weight"] = (2 * inside, inside)
        shapes[f"layers.{layer}.0.to_out.weight"] = (inside, inside)
        shapes[f"layers.{layer}.1.1.weight"] = (4 * inside, inside)
        shapes[f"layers.{layer}.1.3.weight"] = (inside, 4 * inside)
    return shapes
