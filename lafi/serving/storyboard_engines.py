"""The engines of the served model `storyboard`: the model's own, and those of its variants.

So are those of models beside it, which have a folder like a variant and share nothing.

A denoiser runs in this process, on whatever runtime the folder is served with; text encoders and
VAEs are calls of the served models beside it. What a variant shares with the model is the same
engine, not a second one. Knows exported folders, not Triton Server: the caller brings the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lafi.model.artifacts import (
    DENOISER,
    REFERENCE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    ArtifactsError,
    load_prompt_reader,
)
from lafi.model.classifier_files import read_classifier_info
from lafi.model.info import ModelInfo, load_variant_infos, variant_folder
from lafi.model.upscaler_files import read_upscaler_info, upscaler_folder
from lafi.ports.engines import Denoiser, Engines, ReferenceReader
from lafi.ports.runtime import KeepsFiles, Runtime
from lafi.serving.call_model import CallModel
from lafi.serving.remote_classifier import RemoteClassifier
from lafi.serving.remote_engine import RemoteEngine, RemoteTextEncoder
from lafi.serving.remote_recogniser import RemoteRecogniser
from lafi.serving.remote_upscaler import RemoteUpscaler
from lafi.serving.runtimes import runtime_named
from lafi.wire.model_spec import (
    ModelSpec,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)


def load_storyboard_engines(
    artifacts: Path,
    runtime: str,
    precision: str,
    threads: int,
    call_model: CallModel,
    state: Path | None = None,
) -> dict[str, Engines]:
    """By the name of the variant; "" is the model itself and comes first.

    artifacts: the folder that `lafi export` wrote. runtime: the name of one that
    `lafi.serving.runtimes` knows. precision, threads: as `lafi.ports.runtime.Runtime` takes them.
    call_model: calls a served model. state: the folder that models may write to.
    Raises ArtifactsError, also for an unknown runtime and for variants that it does not serve,
    ModelInfoError, and what loading a denoiser raises.
    """
    chosen = _runtime(runtime, state)
    variants = load_variant_infos(artifacts)
    if variants and not chosen.serves_variants:
        names = ", ".join(info.variant for info in variants)
        raise ArtifactsError(
            f"{artifacts}: variants: got {names}, allowed none with {chosen.name}, which draws the "
            "model alone; export them for a runtime that does, or each as a checkpoint of its own"
        )
    loader = _Loader(chosen, precision, threads, call_model, state)
    base = loader.model(artifacts)
    return {"": base} | {
        variant.variant: loader.beside(artifacts, variant, base)
        if variant.beside
        else loader.variant(artifacts, variant, base)
        for variant in variants
    }


@dataclass(frozen=True, slots=True)
class _Loader:
    """Loads engines of one exported folder; the fields are as `load_storyboard_engines` says."""

    runtime: Runtime
    precision: str
    threads: int
    call_model: CallModel
    state: Path | None

    def model(self, artifacts: Path) -> Engines:
        """The model's own engines."""
        info = self.runtime.model_info(artifacts, self.precision)
        most = self.runtime.served_rows(artifacts)
        text = _limited(text_encoder_spec(info), TEXT_ENCODER, most)
        encoder = _limited(vae_encoder_spec(info), VAE_ENCODER, most)
        decoder = _limited(vae_decoder_spec(info), VAE_DECODER, most)
        networks = read_upscaler_info(upscaler_folder(artifacts, info))
        judge = read_classifier_info(artifacts)
        return Engines(
            text_encoder=RemoteTextEncoder(text, self.call_model, info.most_clip_skip),
            vae_encoder=RemoteEngine(encoder, self.call_model),
            vae_decoder=RemoteEngine(decoder, self.call_model),
            denoiser=self._denoiser(artifacts),
            prompts=load_prompt_reader(artifacts, info),
            info=info,
            reference_reader=self._reader(artifacts),
            row_counts=self.runtime.row_counts(artifacts),
            recogniser=RemoteRecogniser(info, self.call_model)
            if info.recogniser is not None
            else None,
            upscaler=None if networks is None else RemoteUpscaler(networks, self.call_model),
            controls=self.runtime.load_controls(artifacts, self.precision, self.threads),
            control_adapters=self.runtime.load_control_adapters(artifacts, self.threads),
            picture_encoder=self.runtime.load_picture_encoder(artifacts, self.threads),
            classifier=None if judge is None else RemoteClassifier(judge, self.call_model),
        )

    def beside(self, artifacts: Path, model: ModelInfo, base: Engines) -> Engines:
        """A model of its own, on its own runtime; who is in a picture, `base` recognises."""
        loader = replace(self, runtime=_runtime(model.engine, self.state))
        own = loader.model(variant_folder(artifacts, model.variant))
        return replace(own, recogniser=base.recogniser)

    def variant(self, artifacts: Path, variant: ModelInfo, base: Engines) -> Engines:
        """The model's engines, `base`, with a variant's own where it does not share them."""
        folder = variant_folder(artifacts, variant.variant)
        info = self.runtime.model_info(folder, self.precision)
        most = self.runtime.served_rows(artifacts)
        text = _limited(text_encoder_spec(info), TEXT_ENCODER, most)
        engines = replace(
            base,
            text_encoder=RemoteTextEncoder(text, self.call_model, info.most_clip_skip),
            prompts=load_prompt_reader(folder, info),
            info=info,
        )
        if DENOISER not in variant.shared:
            counts = self.runtime.row_counts(folder)
            engines = replace(engines, denoiser=self._denoiser(folder), row_counts=counts)
        if REFERENCE not in variant.shared:
            engines = replace(engines, reference_reader=self._reader(folder))
        return engines

    def _denoiser(self, folder: Path) -> Denoiser:
        return self.runtime.load_denoiser(folder, self.precision, self.threads)

    def _reader(self, folder: Path) -> ReferenceReader | None:
        return self.runtime.load_reference_reader(folder, self.precision, self.threads)


def _runtime(name: str, state: Path | None) -> Runtime:
    chosen = runtime_named(name)
    if state is not None and isinstance(chosen, KeepsFiles):
        return chosen.keeping(state)
    return chosen


def _limited(spec: ModelSpec, file: str, most: Mapping[str, int]) -> ModelSpec:
    """most: rows that a served model takes, by ONNX file, where it is not what its spec says."""
    return replace(spec, max_batch_size=most.get(file, spec.max_batch_size))
