"""Engines that run exported ONNX files on the CPU, with ONNX Runtime or OpenVINO.

Every file is checked against the hash that `lafi export` wrote down. An engine keeps no state
between calls. Knows files and runtimes, not storyboards.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.engine.base import DenoiserBatch, Engines, VaeDecoder
from lafi.model_info import ModelInfo, load_model_info

Runtime = Literal["onnxruntime", "openvino"]
Precision = Literal["f32", "bf16"]

TEXT_ENCODER: Final = "text_encoder.onnx"
VAE_ENCODER: Final = "vae_encoder.onnx"
VAE_DECODER: Final = "vae_decoder.onnx"
DENOISER: Final = "denoiser.onnx"
FILES: Final = (TEXT_ENCODER, VAE_ENCODER, VAE_DECODER, DENOISER)

Session = Callable[[Mapping[str, np.ndarray[Any, Any]]], np.ndarray[Any, Any]]
"""Inputs by name -> the one output, an array of its own."""


class ArtifactsError(ValueError):
    """An exported folder is incomplete or changed, or cannot run on this machine as asked."""


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
    tokenizer = Path(artifacts) / "tokenizer"
    if not tokenizer.is_dir():
        raise ArtifactsError(f"{tokenizer}: no such folder; {_AGAIN}")
    return Engines(
        text_encoder=load_text_encoder(artifacts, runtime, threads),
        vae_encoder=load_vae_encoder(artifacts, runtime, threads),
        vae_decoder=load_vae_decoder(artifacts, runtime, threads),
        denoiser=load_denoiser(artifacts, runtime, precision, threads),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizer),
        info=model_info(artifacts, runtime, precision),
    )


def model_info(artifacts: Path, runtime: Runtime, precision: Precision) -> ModelInfo:
    """The exported model's facts, naming the runtime and precision that will draw."""
    info = load_model_info(artifacts)
    return info.model_copy(update={"engine": runtime, "precision": precision})


class ImageEngine:
    """A text encoder, VAE encoder or VAE decoder: one tensor in, one float32 tensor out."""

    def __init__(self, session: Session, input_name: str) -> None:
        self._session = session
        self._input_name = input_name

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), as the protocols in `lafi.engine.base` say."""
        return torch.from_numpy(self._session({self._input_name: _array(rows)}))


class OnnxDenoiser:
    """`lafi.engine.base.Denoiser` on an ONNX file."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        """(B, C, h, w) float32: what the model predicts."""
        return torch.from_numpy(self._session(denoiser_feed(batch)))


def denoiser_feed(batch: DenoiserBatch) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs of `denoiser.onnx` by name, sharing memory where they can."""
    return {
        "latents": _array(batch.latents),
        "timesteps": _array(batch.timesteps),
        "text": _array(batch.text),
        "routes": _array(batch.routes),
        "bias": _array(batch.bias),
        "mask": _array(batch.mask),
        "region": _array(batch.region),
    }


def load_text_encoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> ImageEngine:
    """Token ids (B, T) int64 -> (B, T, D)."""
    path = _verified(artifacts, TEXT_ENCODER)
    return ImageEngine(open_session(path, runtime, "f32", threads), "token_ids")


def load_vae_encoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> ImageEngine:
    """Images (B, 3, H, W) in [-1, 1] -> scaled mean latents (B, C, h, w)."""
    path = _verified(artifacts, VAE_ENCODER)
    return ImageEngine(open_session(path, runtime, "f32", threads), "images")


def load_vae_decoder(artifacts: Path, runtime: Runtime, threads: int = 0) -> VaeDecoder:
    """Scaled latents (B, C, h, w) -> images (B, 3, H, W) in [-1, 1]."""
    path = _verified(artifacts, VAE_DECODER)
    return ImageEngine(open_session(path, runtime, "f32", threads), "latents")


def load_denoiser(
    artifacts: Path, runtime: Runtime, precision: Precision = "f32", threads: int = 0
) -> OnnxDenoiser:
    """The UNet with the attention op, in the given precision."""
    return OnnxDenoiser(open_session(_verified(artifacts, DENOISER), runtime, precision, threads))


def open_session(
    path: Path, runtime: Runtime, precision: Precision = "f32", threads: int = 0
) -> Session:
    """An ONNX file, ready to run. Raises ArtifactsError for a runtime that cannot run it so."""
    check_runtime(runtime, precision)
    if threads < 0:
        raise ArtifactsError(f"threads: got {threads}, allowed 0 (all cores) or more")
    if runtime == "openvino":
        return _openvino_session(path, precision, threads)
    return _onnxruntime_session(path, threads)


def check_runtime(runtime: Runtime, precision: Precision) -> None:
    """Raises ArtifactsError for a pair that does not run on this machine."""
    if runtime not in get_args(Runtime):
        raise ArtifactsError(f"runtime: got {runtime!r}, allowed {', '.join(get_args(Runtime))}")
    if precision not in get_args(Precision):
        allowed = ", ".join(get_args(Precision))
        raise ArtifactsError(f"precision: got {precision!r}, allowed {allowed}")
    if precision == "bf16" and runtime != "openvino":
        raise ArtifactsError(f"precision: got 'bf16', allowed f32 with {runtime}")
    if precision == "bf16" and not cpu_has_bf16():
        raise ArtifactsError("precision: got 'bf16', allowed f32: this CPU has no bf16")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively, as OpenVINO sees it."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _onnxruntime_session(path: Path, threads: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Errors only: the optimiser warns of every value that the attention op's branches share.
    options.log_severity_level = 3
    # A spinning thread takes a core away from whatever else runs beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        output: np.ndarray[Any, Any] = session.run(None, dict(feed))[0]
        return output

    return run


def _openvino_session(path: Path, precision: Precision, threads: int) -> Session:
    import onnx
    import onnx.inliner
    import openvino

    # OpenVINO does not read model-local functions, so the attention op's body is put in place.
    model = onnx.inliner.inline_local_functions(onnx.load(path))
    core = openvino.Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    # One request for all calls keeps what was prepared for each shape; it serves one at a time.
    request = compiled.create_infer_request()
    turn = threading.Lock()

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        with turn:
            request.infer(dict(feed), share_inputs=True)
            return np.array(request.get_output_tensor(0).data, dtype=np.float32)

    return run


_AGAIN: Final = "run `lafi export CHECKPOINT --out REPO` again"


def _verified(artifacts: Path, name: str) -> Path:
    """The path of an ONNX file whose hash is the one in `lafi.json`."""
    path = Path(artifacts) / name
    expected = load_model_info(artifacts).onnx_sha256.get(name)
    if expected is None:
        raise ArtifactsError(f"{path}: lafi.json has no hash of this file; {_AGAIN}")
    if not path.is_file():
        raise ArtifactsError(f"{path}: no such file; {_AGAIN}")
    found = file_sha256(path)
    if found != expected:
        raise ArtifactsError(
            f"{path}: got SHA-256 {found[:12]}, lafi.json says {expected[:12]}; {_AGAIN}"
        )
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().contiguous().numpy()
    return array
