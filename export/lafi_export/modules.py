"""A checkpoint's four networks as modules whose inputs and outputs are what is exported.

Knows diffusers' folder format and shapes, not ONNX.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from lafi.engine.attention import InjectionInputs, install_processors
from lafi.engine.torch import CheckpointError
from lafi.layers import self_attention_layers

_WEIGHTS = ("text_encoder", "vae", "unet")


def check_weights(checkpoint: Path) -> None:
    """Raises CheckpointError naming a part that has no weights."""
    for part in _WEIGHTS:
        if not any((checkpoint / part).glob("*.safetensors")):
            raise CheckpointError(f"{checkpoint}: {part} has no *.safetensors weights")


class TextEncoderModule(nn.Module):
    """token_ids (B, T) int64 -> text (B, T, D)."""

    def __init__(self, model: CLIPTextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: Tensor) -> Tensor:
        text: Tensor = self.model(token_ids, return_dict=False)[0]
        return text


class VaeEncoderModule(nn.Module):
    """images (B, 3, H, W) in [-1, 1] -> latent (B, C, h, w): the mean times the scaling factor."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)

    def forward(self, images: Tensor) -> Tensor:
        mean: Tensor = self.vae.encode(images, return_dict=False)[0].mean
        return mean * self.scale


class VaeDecoderModule(nn.Module):
    """latents (B, C, h, w) scaled -> image (B, 3, H, W) about [-1, 1]."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)

    def forward(self, latents: Tensor) -> Tensor:
        image: Tensor = self.vae.decode(latents / self.scale, return_dict=False)[0]
        return image


class DenoiserModule(nn.Module):
    """The fields of `lafi.engine.base.DenoiserBatch` -> noise_pred (B, C, h, w)."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        routes: Tensor,
        bias: Tensor,
        mask: Tensor,
        region: Tensor,
    ) -> Tensor:
        injection = InjectionInputs(routes=routes, bias=bias, mask=mask, region=region)
        noise: Tensor = self.unet(
            latents,
            timesteps,
            text,
            cross_attention_kwargs={"injection": injection},
            return_dict=False,
        )[0]
        return noise


@dataclass(frozen=True, slots=True)
class ExportModules:
    """The networks of one checkpoint in fp32, in evaluation mode."""

    text_encoder: TextEncoderModule
    vae_encoder: VaeEncoderModule
    vae_decoder: VaeDecoderModule
    denoiser: DenoiserModule


def load_modules(checkpoint: Path) -> ExportModules:
    """Load a diffusers folder in fp32, whatever it is stored in. Raises CheckpointError."""
    check_weights(checkpoint)
    fp32: dict[str, Any] = {"torch_dtype": torch.float32, "local_files_only": True}
    text = CLIPTextModel.from_pretrained(
        checkpoint / "text_encoder", dtype=torch.float32, attn_implementation="eager"
    )
    vae = AutoencoderKL.from_pretrained(checkpoint / "vae", **fp32)
    unet = UNet2DConditionModel.from_pretrained(checkpoint / "unet", **fp32)
    install_processors(unet, self_attention_layers(unet))
    return ExportModules(
        text_encoder=TextEncoderModule(text).eval(),
        vae_encoder=VaeEncoderModule(vae).eval(),
        vae_decoder=VaeDecoderModule(vae).eval(),
        denoiser=DenoiserModule(unet).eval(),
    )
