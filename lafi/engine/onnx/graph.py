"""ONNX files as functions of arrays, run on the CPU by ONNX Runtime or OpenVINO.

Knows files and runtimes. Imports no torch, so that served models without torch start at once.
"""

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from lafi.engine.onnx.compiled import CompiledNetwork
from lafi.engine.onnx.openvino_changes import change_graph, padded_texts, with_whole_vectors
from lafi.engine.onnx.packages import onnxruntime_package, openvino_package
from lafi.engine.onnx.signal_stack import kept_signal_stack
from lafi.model.artifacts import AGAIN, DENOISER, REFERENCE, ArtifactsError, verified
from lafi.model.bank_groups import bank_groups, placeholder_shapes
from lafi.model.families.registry import input_ports
from lafi.model.graph_changes import GraphChange
from lafi.model.info import ModelInfo, load_model_info

RuntimeName = Literal["onnxruntime", "openvino"]
Precision = Literal["f32", "bf16"]
RUNTIMES: Final[tuple[RuntimeName, ...]] = get_args(RuntimeName)

INLINE_BYTES: Final = 2**30
"""Weights up to this size are handed to OpenVINO in memory (protobuf's own limit is 2 GiB), and
kept compiled for the next start."""

KEPT_KERNELS: Final = 128
"""Kernels that OpenVINO keeps of a network for shapes that it has seen, the latest used. Its own
default, 5,000, took 6 MiB more for every size of the bundled denoiser and had not ended after 50
sizes; with 64, fifty sizes took 65 MiB and drawing them again was about as fast
(benchmarks/memory_of_sizes.py)."""

WITHOUT_SNIPPETS: Final = {"SNIPPETS_MODE": "DISABLE"}
"""Settings without which OpenVINO 2026.4 returns NaN in bf16, with and without AMX.

Its snippets compile a softmax and the matrix products around it into one loop. In bf16 that loop
returns NaN for some shapes: for 9 plain rows of the bundled model at 64 px, and in most calls of
`reference.onnx`. Without snippets it is just as fast (benchmarks/README.md). In f32 a control
network with diffusers' own attention gave wrong residuals at its deepest level; what decides it
is not known, only that without snippets they are right.
"""

_CHANGED: Final = (DENOISER, REFERENCE)
"""The files to which a model's `graph_changes` apply."""

RunGraph = Callable[[Mapping[str, np.ndarray[Any, Any]]], tuple[np.ndarray[Any, Any], ...]]
"""Inputs by name -> the outputs in the file's order, arrays of their own."""


def load_graph(
    artifacts: Path,
    name: str,
    runtime: RuntimeName,
    precision: Precision = "f32",
    threads: int = 0,
    compiled: Path | None = None,
) -> RunGraph:
    """One of FILES in an exported folder, ready to run.

    threads: CPU threads, 0 for all cores. The denoiser's bank inputs may be left out of a call.
    compiled: the folder where OpenVINO's compiled networks are kept; None: compile it.
    Raises ArtifactsError for a missing or changed file, and for a runtime or precision that this
    machine does not have.
    """
    path = verified(artifacts, name)
    info = load_model_info(artifacts)
    if name == DENOISER:
        _check_inputs(path, info)
    changes = info.graph_changes if runtime == "openvino" and name in _CHANGED else ()
    kept = None if compiled is None else _kept_network(compiled, path, info, changes)
    graph = open_graph(path, runtime, precision, threads, kept=kept, changes=changes)
    if "whole_vectors" in changes:
        graph = _in_whole_vectors(graph, padded_texts(input_ports(info)))
    if name in (DENOISER, REFERENCE) and precision == "bf16":
        graph = _at_least_two_tokens_wide(graph, info.side_multiple // info.vae_scale)
    return _bank_optional(graph, artifacts, info) if name == DENOISER else graph


def model_info(artifacts: Path, runtime: RuntimeName, precision: Precision) -> ModelInfo:
    """The exported model's facts, naming the runtime and precision that will draw."""
    info = load_model_info(artifacts)
    # `_at_least_two_tokens_wide` refuses anything narrower.
    least = 2 * info.side_multiple if precision == "bf16" else 0
    update: dict[str, object] = {"engine": runtime, "precision": precision, "least_width": least}
    if runtime != "openvino":
        update["graph_changes"] = ()
    if precision != "bf16":
        update["decoder_precision"] = "f32"
    return info.model_copy(update=update)


def open_graph(
    path: Path,
    runtime: RuntimeName,
    precision: Precision = "f32",
    threads: int = 0,
    *,
    snippets: bool = True,
    kept: CompiledNetwork | None = None,
    changes: Sequence[GraphChange] = (),
) -> RunGraph:
    """An ONNX file, ready to run. Raises ArtifactsError for a runtime that cannot run it so.

    snippets: whether OpenVINO may compile a softmax and the products around it into one loop in
    f32; in bf16 it never does. kept: where OpenVINO finds and leaves the file compiled. changes:
    those of the graph that OpenVINO makes first.
    """
    check_runtime(runtime, precision)
    if threads < 0:
        raise ArtifactsError(f"threads: got {threads}, allowed 0 (all cores) or more")
    return _OFFERS[runtime].open_file(path, precision, threads, snippets, kept, changes)


def check_runtime(runtime: RuntimeName, precision: Precision) -> None:
    """Raises ArtifactsError for a pair that does not run on this machine."""
    if runtime not in _OFFERS:
        raise ArtifactsError(f"runtime: got {runtime!r}, allowed {', '.join(_OFFERS)}")
    if precision not in get_args(Precision):
        allowed = ", ".join(get_args(Precision))
        raise ArtifactsError(f"precision: got {precision!r}, allowed {allowed}")
    offered = _OFFERS[runtime].precisions
    if precision not in offered:
        raise ArtifactsError(
            f"precision: got {precision!r}, allowed {', '.join(offered)} with {runtime}"
        )
    if precision == "bf16" and not cpu_has_bf16():
        raise ArtifactsError("precision: got 'bf16', allowed f32: this CPU has no bf16")


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively, as OpenVINO sees it."""
    with kept_signal_stack():
        return "BF16" in openvino_package().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _onnxruntime_session(
    path: Path,
    precision: Precision,
    threads: int,
    snippets: bool,
    kept: CompiledNetwork | None,
    changes: Sequence[GraphChange],
) -> RunGraph:
    """precision: f32, the one that it offers. It has no snippets, opens a file in no time, and
    takes it as it is."""
    onnxruntime = onnxruntime_package()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Errors only: the optimiser warns of every value that the attention op's branches share.
    options.log_severity_level = 3
    # A spinning thread keeps a core busy that other work on this machine could use.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # 8-bit weights are multiplied in float32; by default it would round activations to 8 bits, too.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], ...]:
        return tuple(session.run(None, dict(feed)))

    return run


def _openvino_session(
    path: Path,
    precision: Precision,
    threads: int,
    snippets: bool,
    kept: CompiledNetwork | None,
    changes: Sequence[GraphChange],
) -> RunGraph:
    core = openvino_package().Core()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
    }
    if precision == "bf16" or not snippets:
        settings |= WITHOUT_SNIPPETS
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads

    def compile_network() -> Any:
        model = _read_inlined(core, path)
        if changes:
            change_graph(model, changes)
        return core.compile_model(model, "CPU", settings)

    with kept_signal_stack():
        compiled = kept.load(core, settings, compile_network) if kept else compile_network()
    # One request for all calls keeps its preparation for each shape. It runs one call at a time.
    request = compiled.create_infer_request()
    one_at_a_time = threading.Lock()

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], ...]:
        with one_at_a_time:
            request.infer(dict(feed), share_inputs=True)
            return tuple(np.array(x.data, dtype=np.float32) for x in request.output_tensors)

    return run


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one runtime can do: precisions, and how it opens a file.

    open_file: (path, precision, threads, snippets, kept, changes), as `open_graph` takes them.
    """

    precisions: tuple[Precision, ...]
    open_file: Callable[
        [Path, Precision, int, bool, CompiledNetwork | None, Sequence[GraphChange]], RunGraph
    ]


_OFFERS: Final[Mapping[RuntimeName, _Offer]] = {
    "onnxruntime": _Offer(("f32",), _onnxruntime_session),
    "openvino": _Offer(("f32", "bf16"), _openvino_session),
}


def _read_inlined(core: Any, path: Path) -> Any:
    """OpenVINO's model of the file, with the attention op's body in place of each of its nodes.

    OpenVINO reads no model-local functions, and no weights outside the folder of the graph's file.
    So a small model is passed in memory; for a large one, a temporary file with the changed graph
    is written beside the weights.
    """
    import onnx
    import onnx.inliner

    model = onnx.inliner.inline_local_functions(onnx.load(path, load_external_data=False))
    if _outside_bytes(model) <= INLINE_BYTES:
        onnx.load_external_data_for_model(model, str(path.parent))
        return core.read_model(model.SerializeToString())
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".onnx") as file:
            file.write(model.SerializeToString())
            file.flush()
            return core.read_model(file.name)
    except PermissionError as error:
        raise ArtifactsError(
            f"{path.parent}: got a folder that cannot be written to, allowed with openvino and "
            "weights this large: one that can; onnxruntime does not need it"
        ) from error


def _kept_network(
    folder: Path, path: Path, info: ModelInfo, changes: Sequence[GraphChange]
) -> CompiledNetwork | None:
    """For a checked file of the model; None for one so large that it is not kept a second time."""
    files = [path.name, *info.onnx_weights.get(path.name, ())]
    if sum((path.parent / file).stat().st_size for file in files) > INLINE_BYTES:
        return None
    return CompiledNetwork(folder, (*(info.onnx_sha256[file] for file in files), *changes))


def _outside_bytes(model: Any) -> int:
    """Bytes of the weights that lie in other files."""
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    return sum(int(entry.value) for entry in entries if entry.key == "length")


def _at_least_two_tokens_wide(graph: RunGraph, step: int) -> RunGraph:
    """Refuses latents that are one token wide where the UNet is deepest, `step` cells.

    oneDNN's bf16 convolution with stride 2 is wrong where its output is one cell wide and more
    than one cell high: it reads uninitialised memory. So does torch in bf16. A storyboard with
    such a panel is normally refused earlier, by `lafi.board.checks`.
    """

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], ...]:
        width = feed["latents"].shape[-1]
        if width <= step:
            raise ValueError(f"latents: got width {width}, allowed {2 * step} or more in bf16")
        return graph(feed)

    return run


def _in_whole_vectors(graph: RunGraph, padded: Mapping[str, tuple[int, float]]) -> RunGraph:
    """padded: as `padded_texts` gives it."""

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], ...]:
        return graph(with_whole_vectors(feed, padded))

    return run


def _check_inputs(path: Path, info: ModelInfo) -> None:
    """Raises ArtifactsError for a denoiser that lacks an input of the model's ports."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    found = {value.name for value in graph.input}
    missing = [port.name for port in input_ports(info) if port.name not in found]
    if missing:
        raise ArtifactsError(
            f"{path}: got a denoiser without the input {', '.join(missing)}; {AGAIN}"
        )


def _bank_optional(graph: RunGraph, artifacts: Path, info: ModelInfo) -> RunGraph:
    """Gives a call without a bank one small entry of zeros, which no route names.

    `lafi.ports.denoiser_tensors` says why a bank without entries will not do.
    Raises ArtifactsError for an export whose denoiser takes no bank.
    """
    if REFERENCE not in info.onnx_sha256:
        raise ArtifactsError(f"{artifacts}: got a denoiser without a bank, allowed one; {AGAIN}")
    shapes = placeholder_shapes(bank_groups(info.layers))
    empty = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def run(feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any], ...]:
        return graph({**empty, **feed})

    return run
