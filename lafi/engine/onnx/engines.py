"""Engines that run exported ONNX files on the CPU, with ONNX Runtime or OpenVINO.

An engine keeps no state between calls. Knows tensors and graphs, not storyboards.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lafi.engine.onnx.control import load_control_adapters, load_controls
from lafi.engine.onnx.graph import (
    Precision,
    RunGraph,
    RuntimeName,
    load_graph,
    model_info,
)
from lafi.engine.onnx.picture_prompts import load_picture_encoder
from lafi.engine.onnx.recogniser import exported_recogniser
from lafi.engine.onnx.runtime_choice import choose_runtime
from lafi.engine.onnx.upscaler import load_upscaler
from lafi.model.artifacts import (
    AGAIN,
    DENOISER,
    REFERENCE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    ArtifactsError,
    load_prompt_reader,
    verified,
)
from lafi.model.bank_groups import BankGroup, bank_groups
from lafi.model.families.registry import input_ports, text_names
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.input_port import InputPort
from lafi.model.upscaler_files import upscaler_folder
from lafi.ports.bank_entry import BankEntry, BankInputs, split_bank
from lafi.ports.denoiser_tensors import complete, denoiser_tensors, reference_ports
from lafi.ports.engines import (
    DenoiserBatch,
    EncodedText,
    Engines,
    ReferenceBatch,
    VaeDecoder,
)
from lafi.ports.text_tensors import text_tensors


def load_onnx_engines(
    artifacts: Path,
    runtime: RuntimeName = "onnxruntime",
    precision: Precision = "f32",
    threads: int = 0,
) -> Engines:
    """All engines of one exported model.

    artifacts: the folder with `lafi.json`, the ONNX files and `tokenizer/`.
    precision: of the denoiser and of control networks, which take nearly all the time; of the rest
    only the VAE's decoder may be in another than f32, as the model's facts say.
    threads: CPU threads of each engine, 0 for all cores.
    Raises ArtifactsError for a missing or changed file, and for a runtime that draws the model's
    family wrong, ModelInfoError for `lafi.json` itself.
    """
    info = model_info(artifacts, runtime, precision)
    choose_runtime(info, runtime)
    return Engines(
        text_encoder=load_text_encoder(artifacts, runtime, threads),
        vae_encoder=load_vae_encoder(artifacts, runtime, threads),
        vae_decoder=load_vae_decoder(artifacts, runtime, threads, info.decoder_precision),
        denoiser=load_denoiser(artifacts, runtime, precision, threads),
        prompts=load_prompt_reader(artifacts, info),
        info=info,
        reference_reader=load_reference_reader(artifacts, runtime, precision, threads),
        recogniser=None
        if info.recogniser is None
        else exported_recogniser(artifacts, info, threads),
        upscaler=load_upscaler(upscaler_folder(artifacts, info), runtime, threads),
        controls=load_controls(artifacts, info, runtime, precision, threads),
        control_adapters=load_control_adapters(artifacts, info, runtime, threads),
        picture_encoder=load_picture_encoder(artifacts, info, runtime, threads),
    )


class OnnxTextEncoder:
    """`lafi.ports.engines.TextEncoder` on an ONNX file."""

    def __init__(self, run: RunGraph, names: Sequence[str], most_clip_skip: int) -> None:
        """names: the ports that its outputs fill."""
        self._run = run
        self._names = names
        self._most = most_clip_skip

    def __call__(self, token_ids: Tensor, clip_skip: int = 0) -> EncodedText:
        """Token ids as in the protocol -> encoded text."""
        outputs = self._run(_arrays(text_tensors(token_ids, clip_skip, self._most)))
        return {n: torch.from_numpy(x) for n, x in zip(self._names, outputs, strict=True)}


class ImageEngine:
    """A VAE encoder or VAE decoder: one tensor in, one float32 tensor out."""

    def __init__(self, run: RunGraph, input_name: str) -> None:
        self._run = run
        self._input_name = input_name

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), as in the protocols of `lafi.ports.engines`."""
        return torch.from_numpy(self._run({self._input_name: _array(rows)})[0])


class OnnxDenoiser:
    """`lafi.ports.engines.Denoiser` on an ONNX file."""

    def __init__(self, run: RunGraph, info: ModelInfo) -> None:
        """info: of the exported model."""
        self._run = run
        self._ports = input_ports(info)
        self._groups = bank_groups(info.layers)

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        """(B, C, h, w) float32: what the model predicts."""
        return torch.from_numpy(self._run(denoiser_feed(batch, self._ports, self._groups))[0])


class OnnxReferenceReader:
    """`lafi.ports.engines.ReferenceReader` on an ONNX file.

    Opening the file loads the denoiser's weights a second time. So it is opened on the first call,
    and without a bank it takes no memory.
    """

    def __init__(self, open_file: Callable[[], RunGraph], info: ModelInfo) -> None:
        """open_file: called at most once. info: of the exported model."""
        self._open_file = open_file
        self._ports = reference_ports(input_ports(info))
        self._groups = bank_groups(info.layers)
        self._run: RunGraph | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        """One entry for each row, float32."""
        feed = _arrays(complete(batch.ports, self._ports))
        outputs = [torch.from_numpy(x) for x in self._opened()(feed)]
        if len(outputs) != 2 * len(self._groups):
            got, allowed = len(outputs), 2 * len(self._groups)
            raise ArtifactsError(f"{REFERENCE}: got {got} outputs, allowed {allowed}; {AGAIN}")
        # The outputs alternate: keys and values of each group.
        return split_bank(BankInputs(tuple(outputs[::2]), tuple(outputs[1::2]), batch.mask))

    def _opened(self) -> RunGraph:
        with self._lock:
            if self._run is None:
                self._run = self._open_file()
            return self._run


def denoiser_feed(
    batch: DenoiserBatch, ports: Sequence[InputPort], groups: Sequence[BankGroup]
) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs of `denoiser.onnx` by name, without copies if possible."""
    return _arrays(denoiser_tensors(batch, ports, groups))


def load_text_encoder(artifacts: Path, runtime: RuntimeName, threads: int = 0) -> OnnxTextEncoder:
    """Token ids int64, (B, ...) -> encoded text."""
    graph = load_graph(artifacts, TEXT_ENCODER, runtime, "f32", threads)
    info = load_model_info(artifacts)
    return OnnxTextEncoder(graph, text_names(info), info.most_clip_skip)


def load_vae_encoder(artifacts: Path, runtime: RuntimeName, threads: int = 0) -> ImageEngine:
    """Images (B, 3, H, W) in [-1, 1] -> scaled mean latents (B, C, h, w)."""
    graph = load_graph(artifacts, VAE_ENCODER, runtime, "f32", threads)
    return ImageEngine(graph, "images")


def load_vae_decoder(
    artifacts: Path, runtime: RuntimeName, threads: int = 0, precision: Precision = "f32"
) -> VaeDecoder:
    """Scaled latents (B, C, h, w) -> images (B, 3, H, W) in [-1, 1]."""
    graph = load_graph(artifacts, VAE_DECODER, runtime, precision, threads)
    return ImageEngine(graph, "latents")


def load_denoiser(
    artifacts: Path,
    runtime: RuntimeName,
    precision: Precision = "f32",
    threads: int = 0,
    compiled: Path | None = None,
) -> OnnxDenoiser:
    """The UNet with the attention op, in the given precision. compiled: as `load_graph` takes."""
    graph = load_graph(artifacts, DENOISER, runtime, precision, threads, compiled)
    return OnnxDenoiser(graph, load_model_info(artifacts))


def load_reference_reader(
    artifacts: Path,
    runtime: RuntimeName,
    precision: Precision = "f32",
    threads: int = 0,
    compiled: Path | None = None,
) -> OnnxReferenceReader:
    """Reads references for the bank of the denoiser in the same runtime and precision.

    Checks the graph now; the first call reads and checks the weights. compiled: as `load_graph`
    takes.
    Raises ArtifactsError for a missing or changed graph.
    """
    verified(artifacts, REFERENCE, weights=False)

    def open_file() -> RunGraph:
        return load_graph(artifacts, REFERENCE, runtime, precision, threads, compiled)

    return OnnxReferenceReader(open_file, load_model_info(artifacts))


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: _array(tensor) for name, tensor in tensors.items()}


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().contiguous().numpy()
    return array
