"""Engines that run a diffusers checkpoint in torch, and the facts about such a checkpoint."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from lafi.engine.attention import InjectionInputs, install_processors
from lafi.engine.base import DenoiserBatch, Engines
from lafi.layers import self_attention_layers
from lafi.model_info import ModelInfo

_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_WEIGHT_PARTS = ("unet", "vae", "text_encoder")
_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class CheckpointError(ValueError):
    """A folder that is no diffusers `StableDiffusionPipeline`; the text says what is missing."""


class TorchTextEncoder:
    """`TextEncoder` with a CLIP text model."""

    def __init__(self, model: CLIPTextModel) -> None:
        self._model = model

    @torch.no_grad()
    def __call__(self, token_ids: Tensor) -> Tensor:
        encoded: Tensor = self._model(token_ids).last_hidden_state
        return encoded.float()


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
        injection = InjectionInputs(batch.routes, batch.bias, batch.mask, batch.region)
        prediction: Tensor = self._unet(
            batch.latents.to(self._unet.dtype),
            batch.timesteps,
            batch.text.to(self._unet.dtype),
            cross_attention_kwargs={"injection": injection},
        ).sample
        return prediction.float()


def load_torch_engines(checkpoint: Path, dtype: torch.dtype = torch.float32) -> Engines:
    """Engines of a diffusers folder, on the CPU, weights in `dtype`.

    Raises CheckpointError where the folder is not a complete pipeline.
    """
    folder = Path(checkpoint)
    info = read_model_info(folder, precision=_PRECISIONS[dtype])
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype).eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype).eval()
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype).eval()
    return Engines(
        text_encoder=TorchTextEncoder(text),
        vae_encoder=TorchVaeEncoder(vae),
        vae_decoder=TorchVaeDecoder(vae),
        denoiser=TorchDenoiser(unet),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        info=info,
    )


def read_model_info(
    checkpoint: Path, *, engine: str = "torch", precision: str = "f32"
) -> ModelInfo:
    """What a diffusers folder says of itself; loads no weights, but reads them to hash them.

    Raises CheckpointError where a part is missing.
    """
    folder = Path(checkpoint)
    missing = [part for part in ("model_index.json", *_PARTS) if not (folder / part).exists()]
    if missing:
        raise CheckpointError(
            f"{folder}: has no {', '.join(missing)}; allowed: a folder that "
            "StableDiffusionPipeline.save_pretrained wrote"
        )
    unet_config, vae, text, scheduler = (
        _read_json(folder / part / name)
        for part, name in (
            ("unet", "config.json"),
            ("vae", "config.json"),
            ("text_encoder", "config.json"),
            ("scheduler", "scheduler_config.json"),
        )
    )
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(unet_config)
    vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
    return ModelInfo(
        name=folder.resolve().name,
        architecture=unet_config["_class_name"],
        latent_channels=unet_config["in_channels"],
        vae_scale=vae_scale,
        side_multiple=vae_scale * 2 ** (len(unet_config["block_out_channels"]) - 1),
        text_length=text["max_position_embeddings"],
        text_width=text["hidden_size"],
        layers=self_attention_layers(unet),
        scheduler_config=scheduler,
        prediction_type=scheduler.get("prediction_type", "epsilon"),
        scaling_factor=vae.get("scaling_factor", 1.0),
        weights_sha256=_hash_weights(folder, _WEIGHT_PARTS),
        engine=engine,
        precision=precision,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return content


def _hash_weights(folder: Path, parts: Sequence[str]) -> str:
    """SHA-256 over the names and bytes of all safetensors files of `parts`, in sorted order."""
    files = sorted(file for part in parts for file in (folder / part).glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder}: has no *.safetensors weights in {', '.join(parts)}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
