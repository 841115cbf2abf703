"""The engines of the served model `storyboard`: the model's own, and those of its variants.

A denoiser runs in this process, on ONNX Runtime, OpenVINO or TensorRT; text encoders and VAEs are
calls of the served models beside it. What a variant shares with the model is the same engine, not
a second one. Knows exported folders, not Triton Server: whoever loads brings the call.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final, cast

from lafi.engine.onnx.engines import load_denoiser, load_reference_reader, load_tokenizers
from lafi.engine.onnx.graph import Precision, Runtime, model_info
from lafi.model.artifacts import (
    DENOISER,
    REFERENCE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    ArtifactsError,
)
from lafi.model.engine_metadata import load_engine_metadata
from lafi.model.info import ModelInfo, load_variant_infos, variant_folder
from lafi.ports.engines import Denoiser, Engines
from lafi.serving.remote_engine import CallModel, RemoteEngine, RemoteTextEncoder
from lafi.serving.remote_recogniser import RemoteRecogniser
from lafi.wire.model_spec import text_encoder_spec, vae_decoder_spec, vae_encoder_spec

TENSORRT: Final = "tensorrt"


def load_storyboard_engines(
    artifacts: Path, runtime: str, precision: Precision, threads: int, infer: CallModel
) -> dict[str, Engines]:
    """By the name of the variant; "" is the model itself and comes first.

    artifacts: the folder that `lafi export` wrote. runtime: "onnxruntime", "openvino" or
    "tensorrt", for which precision and threads are those of the plans. infer: calls a served
    model. Raises ArtifactsError and ModelInfoError, and for TensorRT what
    `lafi.engine.tensorrt.engines.load_denoiser` raises.
    """
    variants = load_variant_infos(artifacts)
    if runtime == TENSORRT:
        _refuse_variants(artifacts, variants)
        return {"": _tensorrt_engines(artifacts, infer)}
    chosen = cast(Runtime, runtime)
    base = _onnx_engines(artifacts, chosen, precision, threads, infer)
    engines = {"": base}
    for variant in variants:
        folder = variant_folder(artifacts, variant.variant)
        denoiser = (
            base.denoiser
            if DENOISER in variant.shared
            else load_denoiser(folder, chosen, precision, threads)
        )
        reader = (
            base.reference_reader
            if REFERENCE in variant.shared
            else load_reference_reader(folder, chosen, precision, threads)
        )
        info = model_info(folder, chosen, precision)
        engines[variant.variant] = replace(
            base,
            text_encoder=RemoteTextEncoder(text_encoder_spec(info), infer),
            denoiser=denoiser,
            tokenizers=load_tokenizers(folder, info),
            info=info,
            reference_reader=reader,
        )
    return engines


def _onnx_engines(
    artifacts: Path, runtime: Runtime, precision: Precision, threads: int, infer: CallModel
) -> Engines:
    info = model_info(artifacts, runtime, precision)
    denoiser = load_denoiser(artifacts, runtime, precision, threads)
    reader = load_reference_reader(artifacts, runtime, precision, threads)
    engines = _with_served(artifacts, info, denoiser, infer, {})
    return replace(engines, reference_reader=reader)


def _tensorrt_engines(artifacts: Path, infer: CallModel) -> Engines:
    # Here, since it needs nothing of TensorRT where ONNX files are served.
    from lafi.engine.tensorrt import engines as tensorrt

    info = tensorrt.tensorrt_model_info(artifacts)
    batches = {}
    for name in (TEXT_ENCODER, VAE_ENCODER, VAE_DECODER):
        profile = load_engine_metadata(Path(artifacts) / tensorrt.PLANS[name]).profile
        batches[name] = min(shapes.largest[0] for shapes in profile.values())
    engines = _with_served(artifacts, info, tensorrt.load_denoiser(artifacts), infer, batches)
    plan = load_engine_metadata(Path(artifacts) / tensorrt.PLANS[DENOISER])
    return replace(engines, row_counts=tensorrt.denoiser_row_counts(plan))


def _with_served(
    artifacts: Path, info: ModelInfo, denoiser: Denoiser, infer: CallModel, batches: dict[str, int]
) -> Engines:
    """batches: rows that a served model takes at most, by ONNX file, where its spec has others."""
    text = text_encoder_spec(info)
    encoder, decoder = vae_encoder_spec(info), vae_decoder_spec(info)
    if batches:
        text = replace(text, max_batch_size=batches[TEXT_ENCODER])
        encoder = replace(encoder, max_batch_size=batches[VAE_ENCODER])
        decoder = replace(decoder, max_batch_size=batches[VAE_DECODER])
    return Engines(
        text_encoder=RemoteTextEncoder(text, infer),
        vae_encoder=RemoteEngine(encoder, infer),
        vae_decoder=RemoteEngine(decoder, infer),
        denoiser=denoiser,
        tokenizers=load_tokenizers(artifacts, info),
        info=info,
        recogniser=RemoteRecogniser(info, infer) if info.recogniser is not None else None,
    )


def _refuse_variants(artifacts: Path, variants: tuple[ModelInfo, ...]) -> None:
    if variants:
        names = ", ".join(info.variant for info in variants)
        raise ArtifactsError(
            f"{artifacts}: variants: got {names}, allowed none with tensorrt: plans are built for "
            "the model alone; export the variants for the CPU, or each as a checkpoint of its own"
        )
