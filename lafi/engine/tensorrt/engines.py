"""Engines that run TensorRT plans on an NVIDIA GPU: the same callables as the others.

An engine's buffers and CUDA graphs are made for each shape on first use; a step copies its inputs
in and its prediction out, and waits only where the caller wants it on the CPU. Knows tensors and
plans, not storyboards. TensorRT is imported when an engine is loaded, never before.

Not run yet on a GPU: tests replace TensorRT and CUDA behind the protocols of
`lafi.engine.cuda.graphs`. Nor are model variants served from plans. What is
missing: the merged weights of a variant by the names and in the layout that the refittable plan's
graph has, and one engine for each variant, since a refit changes the engine under all who use it.
`lafi export --target tensorrt` refuses variants.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
import torch
from torch import Tensor

from lafi.engine.cuda.buffers import Padding, padded_sizes
from lafi.engine.cuda.device import CudaDevice
from lafi.engine.cuda.graphs import CompiledEngine, Device, GraphRunner
from lafi.engine.cuda.machine import check_gpu, gpu_machine
from lafi.engine.onnx.graph import RunGraph
from lafi.engine.tensorrt.contexts import kernels_file
from lafi.engine.tensorrt.session import TensorRTEngine
from lafi.model.artifacts import (
    DENOISER,
    REFERENCE,
    TEXT_ENCODER,
    VAE_DECODER,
    VAE_ENCODER,
    load_prompt_reader,
)
from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_tensor_names
from lafi.model.engine_metadata import (
    EngineMetadata,
    EngineMetadataError,
    load_engine_metadata,
    rebuild,
)
from lafi.model.families.registry import input_ports, text_names
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.input_port import REFERENCES, ROWS, InputPort
from lafi.ports.bank_entry import BankEntry, BankInputs, split_bank
from lafi.ports.denoiser_tensors import complete, denoiser_tensors, reference_ports
from lafi.ports.engines import DenoiserBatch, EncodedText, Engines, ReferenceBatch
from lafi.ports.text_tensors import text_tensors

ENGINE: Final = "tensorrt"
RTX_ENGINE: Final = "tensorrt-rtx"
PLANS: Final = {
    TEXT_ENCODER: "text_encoder.plan",
    VAE_ENCODER: "vae_encoder.plan",
    VAE_DECODER: "vae_decoder.plan",
    DENOISER: "denoiser.plan",
    REFERENCE: "reference.plan",
}
"""Plan files by the ONNX files that they are built from."""

BANK: Final = "bank_"
"""How the names of the bank's inputs begin; those with keys and values have their layers first."""
HALVES: Final = {"f16": torch.float16, "bf16": torch.bfloat16}
"""Precisions of plans that compute in 16 bits."""
READER_SHAPES: Final = 2
"""Shapes whose buffers are kept to read references in: as a rule there is one size of picture."""


class TensorRTDenoiser:
    """`lafi.ports.engines.Denoiser` on a plan.

    Rows, references and bank entries are padded, never the picture.
    """

    def __init__(
        self,
        runner: GraphRunner,
        inputs: tuple[str, ...],
        padding: Padding,
        info: ModelInfo,
    ) -> None:
        """inputs: the plan's, as `denoiser_tensors` names them. padding: the runner's.

        info: of the exported model.
        """
        self._runner = runner
        self._inputs = inputs
        self._padding = padding
        self._ports = input_ports(info)
        self._groups = bank_groups(info.layers)

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        """(B, C, h, w) float32 on the device of the latents: what the model predicts."""
        tensors = denoiser_tensors(batch, self._ports, self._groups)
        rows = len(batch["latents"])
        padded = self._padding.shape("latents", tuple(batch["latents"].shape))[0]
        tensors["routes"] = routes_past(batch["routes"], rows, padded)
        outputs = self._runner({name: tensors[name] for name in self._inputs})
        (prediction,) = outputs.values()
        return prediction.float()


def routes_past(routes: Tensor, rows: int, padded: int) -> Tensor:
    """Routes of a batch that is padded: bank entries come after the rows, so they move with them.

    routes (L, B, R) int32. rows: B. padded: rows that are run.
    """
    if rows == padded:
        return routes
    return torch.where(routes >= rows, routes + (padded - rows), routes)


class TensorRTReferenceReader:
    """`lafi.ports.engines.ReferenceReader` on a plan, which holds the denoiser's weights too.

    So it is opened when it is first called: who keeps no bank pays no memory for it. Keys and
    values stay on the GPU, wherever the caller's tensors are: the denoiser reads them at every
    step, and to bring them up each time costs more than to compute the reference again as a row.
    A plan in half precision has them in half, though its outputs are float32; so they are kept in
    half, and nothing is lost.
    """

    def __init__(
        self,
        open_runner: Callable[[], GraphRunner],
        info: ModelInfo,
        precision: str,
        advice: str = rebuild(),
    ) -> None:
        """open_runner: called once at most; what it gives leaves its outputs on the device.

        info: of the exported model. precision, advice: the plan's.
        """
        self._advice = advice
        self._open_runner = open_runner
        self._dtype = HALVES.get(precision, torch.float32)
        self._ports = reference_ports(input_ports(info))
        self._names = tuple(bank_tensor_names(bank_groups(info.layers)))
        self._runner: GraphRunner | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        """One entry for each row: keys and values on the GPU, the mask where the batch has it.

        Keys and values are float16 or bfloat16 of a plan in half precision, else float32.
        Raises EngineMetadataError for a plan without the outputs that the model's layers need, and
        ValueError for more rows or another size than it was built for.
        """
        outputs = self._opened()(complete(batch.ports, self._ports))
        if set(outputs) != set(self._names):
            got, allowed = ", ".join(sorted(outputs)), ", ".join(sorted(self._names))
            raise EngineMetadataError(
                f"{PLANS[REFERENCE]}: outputs: got {got}, allowed {allowed}; {self._advice}"
            )
        tensors = tuple(outputs[name].to(self._dtype) for name in self._names)
        # Keys and values of a group follow each other.
        return split_bank(BankInputs(tensors[::2], tensors[1::2], batch.mask))

    def _opened(self) -> GraphRunner:
        with self._lock:
            if self._runner is None:
                self._runner = self._open_runner()
            return self._runner


class TensorRTTextEncoder:
    """`lafi.ports.engines.TextEncoder` on a plan whose tensors have the served model's names."""

    def __init__(self, runner: GraphRunner, names: Sequence[str], most_clip_skip: int) -> None:
        """names: of the ports that its outputs fill."""
        self._runner = runner
        self._names = names
        self._most = most_clip_skip

    def __call__(self, token_ids: Tensor, clip_skip: int = 0) -> EncodedText:
        """Token ids as the protocol says -> encoded text, float32."""
        tensors = text_tensors(token_ids, clip_skip, self._most)
        outputs = self._runner({name.upper(): value for name, value in tensors.items()})
        return {name: outputs[name.upper()].float() for name in self._names}


class TensorRTImageEngine:
    """A VAE encoder or decoder: one tensor in, one float32 tensor out."""

    def __init__(self, runner: GraphRunner, input_name: str) -> None:
        self._runner = runner
        self._input_name = input_name

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), as the protocols in `lafi.ports.engines` say."""
        outputs = self._runner({self._input_name: rows})
        (made,) = outputs.values()
        return made.float()


def load_tensorrt_engines(artifacts: Path) -> Engines:
    """All engines of one folder with `lafi.json`, the plans and `tokenizer/`.

    Raises GpuMissing without a GPU, ArtifactsError for a missing tokenizer, EngineMetadataError
    for a plan that is missing, changed, built elsewhere or from another export, and
    ModelInfoError for `lafi.json` itself.
    """
    check_gpu()
    info = tensorrt_model_info(artifacts)
    return Engines(
        text_encoder=load_text_encoder(artifacts),
        vae_encoder=load_image_engine(artifacts, VAE_ENCODER),
        vae_decoder=load_image_engine(artifacts, VAE_DECODER),
        denoiser=load_denoiser(artifacts),
        prompts=load_prompt_reader(artifacts, info),
        info=info,
        reference_reader=load_reference_reader(artifacts),
    )


def load_denoiser(artifacts: Path, state: Path | None = None) -> TensorRTDenoiser:
    """The denoiser of an exported folder. state: as `kernels_file` takes it, here and below.

    Raises as `load_tensorrt_engines`.
    """
    metadata, engine = _load(artifacts, DENOISER, state)
    info = load_model_info(artifacts)
    padding = denoiser_padding(metadata, input_ports(info))
    return TensorRTDenoiser(graph_runner(engine, padding), tuple(engine.inputs), padding, info)


def load_reference_reader(artifacts: Path, state: Path | None = None) -> TensorRTReferenceReader:
    """What reads references for the denoiser's bank. Raises as `load_tensorrt_engines`.

    Its plan is checked now and given to TensorRT with the first call.
    """
    metadata = _checked(artifacts, REFERENCE)
    info = load_model_info(artifacts)

    def open_runner() -> GraphRunner:
        engine = open_plan(Path(artifacts) / metadata.plan, metadata, state)
        return reference_runner(engine, CudaDevice(), metadata, info)

    return TensorRTReferenceReader(open_runner, info, metadata.precision, metadata.advice)


def reference_runner(
    engine: CompiledEngine, device: Device, metadata: EngineMetadata, info: ModelInfo
) -> GraphRunner:
    """A plan that reads references, as a function of its tensors by name.

    Without CUDA graphs and with few shapes: a reference is read once, and the buffers of a shape
    are as large as the entries that come of it.
    """
    return GraphRunner(
        engine,
        device,
        reference_padding(metadata, info),
        max_shapes=READER_SHAPES,
        graphs=False,
        stays=True,
    )


def graph_runner(engine: TensorRTEngine, padding: Padding) -> GraphRunner:
    """A plan as a function of tensors, with CUDA graphs: TensorRT-RTX's own, or captured here."""
    return GraphRunner(engine, CudaDevice(), padding, graphs=not engine.captured)


def load_text_encoder(artifacts: Path) -> TensorRTTextEncoder:
    """The text encoder of an exported folder. Raises as `load_tensorrt_engines`."""
    metadata, engine = _load(artifacts, TEXT_ENCODER)
    runner = graph_runner(engine, batch_padding(metadata))
    info = load_model_info(artifacts)
    return TensorRTTextEncoder(runner, text_names(info), info.most_clip_skip)


def load_image_engine(artifacts: Path, onnx_file: str) -> TensorRTImageEngine:
    """VAE encoder or decoder. Raises as `load_tensorrt_engines`."""
    metadata, engine = _load(artifacts, onnx_file)
    runner = graph_runner(engine, batch_padding(metadata))
    (input_name,) = engine.inputs
    return TensorRTImageEngine(runner, input_name)


def load_run_graph(artifacts: Path, onnx_file: str, state: Path | None = None) -> RunGraph:
    """A plan whose tensors have the names of its file, as a function of arrays.

    Raises as `load_tensorrt_engines`.
    """
    metadata, engine = _load(artifacts, onnx_file, state)
    return on_runner(graph_runner(engine, batch_padding(metadata)))


def on_runner(runner: GraphRunner) -> RunGraph:
    """A compiled network as a function of arrays: inputs by name -> outputs in their order."""

    def run(feed: Mapping[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], ...]:
        outputs = runner({name: torch.from_numpy(array) for name, array in feed.items()})
        return tuple(tensor.numpy() for tensor in outputs.values())

    return run


def tensorrt_model_info(artifacts: Path) -> ModelInfo:
    """The exported model's facts, naming this engine and the denoiser's precision."""
    metadata = load_engine_metadata(Path(artifacts) / PLANS[DENOISER])
    update = {"engine": metadata.builder, "precision": metadata.precision}
    return load_model_info(artifacts).model_copy(update=update)


def check_sources(metadata: EngineMetadata, info: ModelInfo, onnx_file: str) -> None:
    """Raises EngineMetadataError for a plan of another export than `lafi.json` describes."""
    expected = info.onnx_sha256.get(onnx_file)
    if expected is None:
        raise EngineMetadataError(f"lafi.json: has no hash of {onnx_file}; {metadata.advice}")
    metadata.check_sources(expected, info.weights_sha256)


def denoiser_padding(metadata: EngineMetadata, ports: Sequence[InputPort]) -> Padding:
    """Rows, references and bank entries padded to few sizes. What is added is read by no row.

    ports: the model's; of those that the plan has, rows and references are padded.
    """
    there = [port for port in ports if port.name in metadata.profile]
    axes = {
        port.name: {
            port.axes.index(axis): _sizes(metadata, port.name, port.axes.index(axis))
            for axis in (ROWS, REFERENCES)
            if axis in port.axes
        }
        for port in there
    }
    for name in metadata.profile:
        if name.startswith(BANK):
            axis = 0 if name == BANK_MASK else 1
            axes[name] = {axis: _sizes(metadata, name, axis)}
    return Padding("latents", axes, {port.name: port.fill for port in there if port.fill})


def reference_padding(metadata: EngineMetadata, info: ModelInfo) -> Padding:
    """References padded to few numbers; each reads itself alone, so that none sees what is added.

    The rows of keys and values, (n, rows, S, width), are their second axis.
    """
    padding = denoiser_padding(metadata, input_ports(info))
    names = bank_tensor_names(bank_groups(info.layers))
    return replace(padding, row_axes=dict.fromkeys(names, 1))


def denoiser_row_counts(metadata: EngineMetadata) -> tuple[int, ...]:
    """Numbers of rows that the denoiser's plan is run with, ascending."""
    return _sizes(metadata, "latents", 0)


def batch_padding(metadata: EngineMetadata) -> Padding:
    """The batch, the first axis of every input, padded to few sizes."""
    axes = {name: {0: _sizes(metadata, name, 0)} for name in metadata.profile}
    return Padding(rows_of=next(iter(axes)), axes=axes)


def _sizes(metadata: EngineMetadata, name: str, axis: int) -> tuple[int, ...]:
    shapes = metadata.profile[name]
    return padded_sizes(shapes.smallest[axis], shapes.tuned[axis], shapes.largest[axis])


def _load(
    artifacts: Path, onnx_file: str, state: Path | None = None
) -> tuple[EngineMetadata, TensorRTEngine]:
    """A plan that was checked before a byte of it is given to TensorRT."""
    metadata = _checked(artifacts, onnx_file)
    return metadata, open_plan(Path(artifacts) / metadata.plan, metadata, state)


def _checked(artifacts: Path, onnx_file: str) -> EngineMetadata:
    """The facts of a plan that fits this machine and the export that it lies in."""
    check_gpu()
    metadata = load_engine_metadata(Path(artifacts) / PLANS[onnx_file])
    metadata.check_machine(gpu_machine(metadata.builder))
    check_sources(metadata, load_model_info(artifacts), onnx_file)
    return metadata


def open_plan(plan: Path, metadata: EngineMetadata, state: Path | None = None) -> TensorRTEngine:
    """A plan whose metadata fits this machine, with its weights. Raises EngineMetadataError."""
    here = gpu_machine(metadata.builder)
    kernels = kernels_file(plan, metadata.plan_sha256, here.capability, state)
    engine = TensorRTEngine(plan, metadata, kernels)
    if metadata.stripped:
        engine.refit_from_onnx(refit_graph(plan))
    return engine


def refit_graph(plan: Path) -> Path:
    """Where the graph lies whose weights a stripped or refittable plan takes."""
    return plan.with_name(f"{plan.stem}.refit.onnx")
