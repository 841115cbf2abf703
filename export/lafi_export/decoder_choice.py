"""In which precision a VAE decoder runs: bf16 where that is asked of the denoiser, and close.

Rule, written before any figure was seen: it runs in bf16 if pixels of all parity cases are at
LEAST_DB of torch in f32, which is above what a denoiser in bf16 costs (40 dB).
"""

from dataclasses import replace
from typing import Final

import numpy as np

from lafi.drawing.images import to_pixels
from lafi.engine.onnx.engines import load_vae_decoder
from lafi.ports.engines import Engines
from lafi_export.artifacts import ExportedModel
from lafi_export.parity import pixel_psnr
from lafi_export.parity_cases import latent_cases

LEAST_DB: Final = 45.0


def with_decoder_precision(
    model: ExportedModel, reference: Engines, threads: int
) -> tuple[ExportedModel, Engines]:
    """Both, the model with the precision of its decoder, also in its folder. reference: torch."""
    info = model.info
    if info.engine != "openvino" or info.precision != "bf16":
        return model, reference
    if _worst_psnr(model, reference, threads) < LEAST_DB:
        return model, reference
    info = info.model_copy(update={"decoder_precision": "bf16"})
    info.save(model.artifacts)
    return replace(model, info=info), reference


def _worst_psnr(model: ExportedModel, reference: Engines, threads: int) -> float:
    """Of any picture of the parity cases, in dB."""
    decode = load_vae_decoder(model.artifacts, "openvino", threads, "bf16")
    return min(
        pixel_psnr(to_pixels(want).astype(np.int16) - to_pixels(got).astype(np.int16))
        for _, latents in latent_cases(model.info)
        for want, got in zip(reference.vae_decoder(latents), decode(latents), strict=True)
    )
