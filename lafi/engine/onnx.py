"""Engines that run exported ONNX files on the CPU, with ONNX Runtime or OpenVINO.

An engine keeps no state between calls. Knows tensors and sessions, not storyboards.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import DenoiserBatch, EncodedText, Engines, VaeDecoder
from lafi.engine.session import (
    AGAIN,
    DENOISER,
    FILES,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    ArtifactsError,
    Precision,
    Runtime,
    Session,
    check_runtime,
    cpu_has_bf16,
    file_sha256,
    load_session,
    model_info,
    open_session,
    tokenizer_folders,
)
from lafi.model_info import ModelInfo

__all__ = [
    "DENOISER",
    "FILES",
    "TEXT_ENCODER",
    "VAE_DECODER",
    "VAE_ENCODER",
    "ArtifactsError",
    "ImageEngine",
    "OnnxDenoiser",
    "OnnxTextEncoder",
    "Precision",
    "Runtime",
    "Session",
    "check_runtime",
    "cpu_has_bf16",
    "denoiser_feed",
    "file_sha256",
    "load_denoiser",
    "load_onnx_engines",
    "load_text_encoder",
    "load_tokenizers",
    "load_vae_decoder",
    "load_vae_encoder",
    "model_info",
    "open_session",
]


def load_onnx_engines(
    artifacts: Path,
    runtime: Runtime = "onnxruntime",
    precision: Precision = "f32",
    threads: int = 0,
) -> Engines:
    """All engines of one exported model.

    artifacts: the folder with `lafi.json`, the ONNX files and `tokenizer/`.
    precision: of the denoiser, where nearly all of the time goes; text and VAE stay in f32.
    threads: CPU threads of each engine, 0 for all cores.
    Raises ArtifactsError for a missing or changed file, ModelInfoError for `lafi.json` itself.
    """
    info = model_info(artifacts, runtime, precision)
    return Engines(
        text_encoder=load_text_encoder(artifacts, runtime, threads),
        vae_encoder=load_vae_encoder(artifacts, runtime, threads),
        vae_decoder=load_vae_decoder(artifacts, runtime, threads),
        denoiser=load_denoiser(artifacts, runtime, precision, threads),
        tokenizers=load_tokenizers(artifacts, info),
        info=info,
    )


def load_tokenizers(artifacts: Path, info: ModelInfo) -> tuple[CLIPTokenizer, ...]:
    """One for each text encoder, in their order. Raises ArtifactsError for a missing folder."""
    folders = tokenizer_folders(artifacts, info)
    for folder in folders:
        if not folder.is_dir():
            raise ArtifactsError(f"{folder}: no such folder; {AGAIN}")
    return tuple(CLIPTokenizer.from_pretrained(folder) for folder in folders)


class OnnxTextEncoder:
    """`lafi.engine.base.TextEncoder` on an ONNX file."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, token_ids: Tensor) -> EncodedText:
        """Token ids as the protocol says -> encoded text."""
        outputs = self._session({"token_ids": _array(token_ids)})
        return EncodedText(*(torch.from_numpy(output) for output in outputs))


class ImageEngine:
    """A VAE encoder or VAE decoder: one tensor in, one float32 tensor out."""

    def __init__(self, session: Session, input_name: str) -> None:
        self._session = session
        self._input_name = input_name

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), as the protocols in `lafi.engine.base` say."""
        return torch.from_numpy(self._session({self._input_name: _array(rows)})[0])


class OnnxDenoiser:
    """`lafi.engine.base.Denoiser` on an ONNX file."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        """(B, C, h, w) float32: what the model predicts."""
        return torch.from_numpy(self._session(denoiser_feed(batch))[0])


def denoiser_feed(batch: DenoiserBatch) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs of `denoiser.onnx` by name, sharing memory where they can."""
    fields = ((field.name, getattr(batch, field.name)) for field in dataclasses.fields(batch))
    return {name: _array(tensor) for name, tensor in fields if tensor is not None}


def load_text_encoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> OnnxTextEncoder:
    """Token ids int64, (B, T), or (B, 2, T) with two encoders -> encoded text."""
    return OnnxTextEncoder(load_session(artifacts, TEXT_ENCODER, runtime, "f32", threads))


def load_vae_encoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> ImageEngine:
    """Images (B, 3, H, W) in [-1, 1] -> scaled mean latents (B, C, h, w)."""
    session = load_session(artifacts, VAE_ENCODER, runtime, "f32", threads)
    return ImageEngine(session, "images")


def load_vae_decoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> VaeDecoder:
    """Scaled latents (B, C, h, w) -> images (B, 3, H, W) in [-1, 1]."""
    session = load_session(artifacts, VAE_DECODER, runtime, "f32", threads)
    return ImageEngine(session, "latents")


def load_denoiser(
    artifacts: Path, runtime: Runtime, precision: Precision = "f32", threads: int = 0
) -> OnnxDenoiser:
    """The UNet with the attention op, in the given precision."""
    return OnnxDenoiser(load_session(artifacts, DENOISER, runtime, precision, threads))


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().contiguous().numpy()
    return array
