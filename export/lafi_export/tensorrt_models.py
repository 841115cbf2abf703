"""Writes the `models` of a repository whose engines are plans: what Triton Server loads.

Two forms: text encoder and VAEs in the server's own TensorRT backend, or every plan in a Python
model of ours. Knows specs and files, not how a plan is built.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from lafi.engine.tensorrt.engines import ENGINE, RTX_ENGINE
from lafi.model.artifacts import ARTIFACTS, DENOISER, MODELS, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from lafi.model.engine_metadata import EngineMetadata
from lafi.model.info import ModelInfo
from lafi.wire.model_spec import (
    ModelSpec,
    config_pbtxt,
    storyboard_spec,
    text_encoder_spec,
    vae_decoder_spec,
    vae_encoder_spec,
)
from lafi_export.ending import put_in_place
from lafi_export.recogniser_files import write_adapter, write_identity_models
from lafi_export.safety_classifier import write_safety_model
from lafi_export.tensorrt_profiles import Limits
from lafi_export.upscaler.repository import write_upscaler_model

SERVED_PLAN: Final = "model.plan"


class Serving(Protocol):
    """How the plans of the text encoder and the VAEs are served."""

    @property
    def runtime(self) -> str:
        """As `runtime` in a config.pbtxt names it."""

    @property
    def renames(self) -> bool:
        """Whether inputs and outputs of these plans have the served model's names."""

    def specs(self, info: ModelInfo, limits: Limits) -> dict[str, ModelSpec]:
        """By ONNX file; a batch is at most what the engines are built for."""

    def write(self, folder: Path, spec: ModelSpec, plan: Path, precision: str) -> None:
        """One served model, to a folder that is not there yet."""


@dataclass(frozen=True, slots=True)
class ServersBackend:
    """The server's own TensorRT backend loads them, without Python."""

    runtime: str = ENGINE
    renames: bool = True

    def specs(self, info: ModelInfo, limits: Limits) -> dict[str, ModelSpec]:
        """Unlike the Python backend, a plan needs every input."""
        specs = _served_specs(info, limits)
        text = specs[TEXT_ENCODER]
        inputs = tuple(replace(tensor, optional=False) for tensor in text.inputs)
        return specs | {TEXT_ENCODER: replace(text, inputs=inputs)}

    def write(self, folder: Path, spec: ModelSpec, plan: Path, precision: str) -> None:
        """The plan is linked, not copied, if it can."""
        (folder / "1").mkdir(parents=True)
        text = config_pbtxt(spec, backend=ENGINE, kind="KIND_GPU")
        (folder / "config.pbtxt").write_text(text, encoding="utf-8")
        served = folder / "1" / SERVED_PLAN
        try:
            os.link(plan, served)
        except OSError:
            shutil.copyfile(plan, served)


@dataclass(frozen=True, slots=True)
class OwnBackend:
    """Our Python models load them: no server has a backend for plans of TensorRT-RTX."""

    runtime: str = RTX_ENGINE
    renames: bool = False

    def specs(self, info: ModelInfo, limits: Limits) -> dict[str, ModelSpec]:
        """As on the CPU."""
        return _served_specs(info, limits)

    def write(self, folder: Path, spec: ModelSpec, plan: Path, precision: str) -> None:
        """The adapter finds the plan in the artifacts."""
        write_adapter(folder, spec, _parameters(self.runtime, precision), kind="KIND_GPU")


def write_models(
    repository: Path,
    info: ModelInfo,
    made: Mapping[str, EngineMetadata],
    limits: Limits,
    serving: Serving,
) -> None:
    """Replace `models` by one that serves the plans. made: their facts by ONNX file."""
    work = Path(tempfile.mkdtemp(prefix=".models.", dir=repository))
    new, models = work / "new", repository / MODELS
    try:
        storyboard = storyboard_spec()
        parameters = _parameters(serving.runtime, made[DENOISER].precision)
        write_adapter(new / storyboard.name, storyboard, parameters, kind="KIND_GPU")
        for name, spec in serving.specs(info, limits).items():
            plan = repository / ARTIFACTS / made[name].plan
            serving.write(new / spec.name, spec, plan, made[name].precision)
        write_identity_models(new, f"../{ARTIFACTS}", info)
        write_upscaler_model(new, repository / ARTIFACTS, serving.runtime, "KIND_GPU")
        write_safety_model(new, repository / ARTIFACTS)
        put_in_place(new, models, work / "old")
    finally:
        shutil.rmtree(work)


def _parameters(runtime: str, precision: str) -> dict[str, str]:
    return {"artifacts": f"../{ARTIFACTS}", "runtime": runtime, "precision": precision}


def _served_specs(info: ModelInfo, limits: Limits) -> dict[str, ModelSpec]:
    batch = limits.batch.largest
    return {
        TEXT_ENCODER: text_encoder_spec(info, batch),
        VAE_ENCODER: vae_encoder_spec(info, batch),
        VAE_DECODER: vae_decoder_spec(info, batch),
    }
