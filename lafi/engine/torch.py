"""Engines that run a diffusers checkpoint in torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from lafi.engine.attention import InjectionInputs, install_processors
from lafi.engine.base import DenoiserBatch, Engines
from lafi.engine.checkpoint import (
    CheckpointError,
    read_model_info,
    weight_parts,
    weights_variant,
)
from lafi.engine.text_encoder import TorchTextEncoder, load_text_encoder
from lafi.layers import self_attention_layers
from lafi.model_info import ModelInfo

__all__ = [
    "CheckpointError",
    "TorchDenoiser",
    "TorchTextEncoder",
    "TorchVaeDecoder",
    "TorchVaeEncoder",
    "denoiser_conditions",
    "load_torch_engines",
    "read_model_info",
    "torch_engines",
]

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class TorchVaeEncoder:
    """`VaeEncoder`: the mean of the latent distribution, times the scaling factor."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        posterior = self._vae.encode(images.to(self._vae.dtype)).latent_dist
        latents: Tensor = posterior.mean.float() * self._vae.config.scaling_factor
        return latents


class TorchVaeDecoder:
    """`VaeDecoder`."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        unscaled = (latents / self._vae.config.scaling_factor).to(self._vae.dtype)
        images: Tensor = self._vae.decode(unscaled).sample
        return images.float()


class TorchDenoiser:
    """`Denoiser`: a UNet whose self-attention layers take routes as an argument."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self._unet = install_processors(unet, self_attention_layers(unet))

    @torch.no_grad()
    def __call__(self, batch: DenoiserBatch) -> Tensor:
        dtype = self._unet.dtype
        prediction: Tensor = self._unet(
            batch.latents.to(dtype),
            batch.timesteps,
            batch.text.to(dtype),
            **denoiser_conditions(batch, dtype),
        ).sample
        return prediction.float()


def denoiser_conditions(batch: DenoiserBatch, dtype: torch.dtype) -> dict[str, Any]:
    """What a diffusers UNet is told beside latents, timesteps and text, by argument."""
    injection = InjectionInputs(batch.routes, batch.bias, batch.mask, batch.region)
    conditions: dict[str, Any] = {"cross_attention_kwargs": {"injection": injection}}
    if batch.pooled is not None:
        added = {"text_embeds": batch.pooled.to(dtype), "time_ids": batch.time_ids}
        conditions["added_cond_kwargs"] = added
    return conditions


def load_torch_engines(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Engines:
    """Engines of a diffusers folder, on the CPU, weights in `dtype`.

    Raises CheckpointError where the folder is not a complete pipeline.
    """
    folder = Path(checkpoint)
    info = read_model_info(folder, precision=_PRECISIONS[dtype])
    variants = {part: weights_variant(folder / part) for part in weight_parts(folder)}
    texts = [
        load_text_encoder(folder / part, dtype, variant)
        for part, variant in variants.items()
        if part.startswith("text_encoder")
    ]
    unet = UNet2DConditionModel.from_pretrained(
        folder / "unet", torch_dtype=dtype, variant=variants["unet"]
    )
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, variant=variants["vae"])
    return torch_engines(texts, vae.eval(), unet.eval(), folder, info)


def torch_engines(
    texts: Sequence[nn.Module],
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    folder: Path,
    info: ModelInfo,
) -> Engines:
    """Engines of modules that are loaded; folder: where the tokenizers lie."""
    names = ("tokenizer", "tokenizer_2")[: info.text_encoders]
    return Engines(
        text_encoder=TorchTextEncoder(*texts),
        vae_encoder=TorchVaeEncoder(vae),
        vae_decoder=TorchVaeDecoder(vae),
        denoiser=TorchDenoiser(unet),
        tokenizers=tuple(CLIPTokenizer.from_pretrained(folder / name) for name in names),
        info=info,
    )
