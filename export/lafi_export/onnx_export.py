"""From a module to an ONNX file with dynamic batch and size, whose weights lie in files beside it.

Knows torch's exporter and what must be told to it; not what the files are for.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import onnx_ir.passes.common as passes_of_ir
import onnxscript.ir
import onnxscript.optimizer
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as _trace_config

from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_shapes, bank_tensor_names
from lafi.model.families.registry import input_ports, text_names, text_stack_of
from lafi.model.info import ModelInfo
from lafi.model.input_port import PICTURES, TOKENS, Axis, InputPort
from lafi.ports.denoiser_tensors import TORCH_DTYPES, reference_ports
from lafi.ports.text_tensors import TOKEN_IDS, text_tensors
from lafi_export.attention_op import translation_table, with_functions
from lafi_export.modules import ExportModules
from lafi_export.part_weights import PartWeights
from lafi_kernels import onnx_function

# diffusers' upsampling asks whether there are 64 rows or more and then does the same in other
# memory layout, so the trace holds for any batch though it is taken below that.
_BATCH: Final = Dim("batch", max=63)
# A product of a part of a sequence asks whether there is one row, likewise; the file takes one too.
_ROWS: Final = Dim("batch", min=2, max=63)


@dataclass(frozen=True, slots=True)
class Graph:
    """One network to export: example inputs in order, and which of their axes may vary.

    whole: whether the module takes all inputs as one dictionary, else each by itself.
    one_row: inputs of which one row may stand for all.
    """

    file: str
    module: nn.Module
    example: dict[str, Tensor]
    dynamic: dict[str, dict[int, Any]]
    outputs: tuple[str, ...]
    whole: bool = False
    one_row: tuple[str, ...] = ()


def graphs(modules: ExportModules, info: ModelInfo) -> tuple[Graph, ...]:
    """What is exported of a model. Height and width are multiples of `info.side_multiple`."""
    return (
        _text_encoder(modules, info),
        _vae_encoder(modules, info),
        _vae_decoder(modules, info),
        denoiser_graph(modules.denoiser, info),
        reference_graph(modules.reference, info),
    )


def export_graph(graph: Graph, path: Path, weights: Sequence[PartWeights]) -> tuple[str, ...]:
    """Write `path` and check it. Any ONNX runtime with opset 18 and local functions reads it.

    weights: the files that the module's weights are mapped from, in folders beside `path`.
    Returns the locations of those that the graph points into.
    """
    arguments: tuple[Any, ...] = tuple(graph.example.values())
    dynamic: dict[str, Any] = graph.dynamic
    if graph.whole:
        arguments, dynamic = (graph.example,), {"inputs": graph.dynamic}
    with torch.no_grad(), expected_warnings():
        # The batch may be 1 when the file runs, whatever it was in the trace.
        with _trace_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            program = torch.export.export(graph.module, arguments, dynamic_shapes=dynamic)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            custom_translation_table=translation_table(),
            opset_version=onnx_function.OPSET,
            input_names=list(graph.example),
            output_names=list(graph.outputs),
            optimize=False,
            verbose=False,
        )
        if exported is None:
            raise RuntimeError(f"torch exported nothing for {graph.file}")
        _count_rows_elsewhere(exported.model, graph.one_row)
        used = _point_into_files(exported.model, weights, path.parent)
        _simplify(exported.model)
    model = _with_rows_of_their_own(without_metadata(exported.model_proto), graph.one_row)
    model = with_functions(model)
    onnx.save(model, path)
    # By its path, since the checker looks for the files as well.
    onnx.checker.check_model(path, full_check=True)
    return used


def _count_rows_elsewhere(model: onnxscript.ir.Model, names: Sequence[str]) -> None:
    """What counts rows by one of these inputs, which may have a single one, counts the first
    input's, in place.

    In a trace all inputs have as many rows, so it does not matter there whose are counted.
    """
    first, *others = model.graph.inputs
    for value in others:
        if value.name not in names:
            continue
        for node, place in tuple(value.uses()):
            if node.op_type != "Shape":
                continue
            begin, end = (
                node.attributes[name].as_int() if name in node.attributes else default
                for name, default in (("start", 0), ("end", 4))
            )
            if (begin, end) == (0, 1):
                node.replace_input_with(place, first)
            elif begin <= 0:
                raise RuntimeError(f"{value.name}: the graph reads its shape from {begin} to {end}")


def _with_rows_of_their_own(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model, in which the rows of these inputs have a size of their own, changed in place.

    A trace can only say that they are as many as all others. ONNX spreads one row over all where
    two tensors are added, which is all that may be done with such an input.
    """
    for value in model.graph.input:
        if value.name in names:
            value.type.tensor_type.shape.dim[0].dim_param = f"{value.name}_rows"
    return model


def _point_into_files(
    model: onnxscript.ir.Model, weights: Sequence[PartWeights], folder: Path
) -> tuple[str, ...]:
    """Every weight becomes a place in its file; returns the locations of the files."""
    used: dict[str, None] = {}
    for part in weights:
        for name, place in part.places.items():
            value = model.graph.initializers.get(f"{part.part}.{name}")
            if value is None:
                continue
            value.const_value = onnxscript.ir.ExternalTensor(
                part.location,
                offset=place.offset,
                length=place.length,
                dtype=onnxscript.ir.DataType.FLOAT,
                shape=onnxscript.ir.Shape(place.shape),
                name=str(value.name),
                base_dir=str(folder),
            )
            used[part.location] = None
    return tuple(used)


def _text_encoder(modules: ExportModules, info: ModelInfo) -> Graph:
    ids = text_stack_of(info).ids(info)
    shape = (info.text_length if axis == TOKENS else int(axis) for axis in ids)
    lengths = {place: Dim("tokens", min=2) for place, axis in enumerate(ids, 1) if axis == TOKENS}
    token_ids = torch.ones(2, *shape, dtype=torch.int64)
    example = text_tensors(token_ids, 0, info.most_clip_skip)
    return Graph(
        file="text_encoder.onnx",
        module=modules.text_encoder,
        example=example,
        dynamic={name: {0: _BATCH, **(lengths if name == TOKEN_IDS else {})} for name in example},
        outputs=text_names(info),
    )


def _vae_encoder(modules: ExportModules, info: ModelInfo) -> Graph:
    height, width = 2 * info.side_multiple, 3 * info.side_multiple
    sides = {0: _BATCH, 2: info.side_multiple * Dim("rows"), 3: info.side_multiple * Dim("columns")}
    return Graph(
        file="vae_encoder.onnx",
        module=modules.vae_encoder,
        example={"images": torch.zeros(2, 3, height, width)},
        dynamic={"images": sides},
        outputs=("latent",),
    )


def _vae_decoder(modules: ExportModules, info: ModelInfo) -> Graph:
    return Graph(
        file="vae_decoder.onnx",
        module=modules.vae_decoder,
        example={"latents": torch.zeros(2, info.latent_channels, 4, 6)},
        dynamic={"latents": {0: _BATCH, 2: Dim("rows"), 3: Dim("columns")}},
        outputs=("image",),
    )


def denoiser_graph(module: nn.Module, info: ModelInfo) -> Graph:
    """The denoiser with every input of the model's ports and of its bank.

    module: takes them as one dictionary. Their axes that vary may vary in the file.
    """
    step = info.side_multiple // info.vae_scale
    entries, size = 2, (2 * step, 3 * step)
    example, dynamic = port_inputs(input_ports(info), step, info.text_length)
    shapes = bank_shapes(bank_groups(info.layers), entries, size)
    example |= {name: torch.ones(shape) for name, shape in shapes.items()}
    dynamic |= _bank_axes(info, step)
    one_row = tuple(port.name for port in input_ports(info) if port.one_row)
    outputs = ("noise_pred",)
    return Graph("denoiser.onnx", module, example, dynamic, outputs, whole=True, one_row=one_row)


def reference_graph(module: nn.Module, info: ModelInfo) -> Graph:
    """What gives a reference's keys and values; module: as for `denoiser_graph`."""
    step = info.side_multiple // info.vae_scale
    example, dynamic = port_inputs(reference_ports(input_ports(info)), step, info.text_length)
    names = tuple(bank_tensor_names(bank_groups(info.layers)))
    return Graph("reference.onnx", module, example, dynamic, names, whole=True)


def port_inputs(
    ports: Sequence[InputPort], step: int, tokens: int
) -> tuple[dict[str, Tensor], dict[str, dict[int, Any]]]:
    """An example of each input, filled with what means nothing, and its axes that may vary.

    step: latent cells of which height and width are multiples. tokens: the most of a text.
    """
    sizes = {"rows": 3, "references": 2, "height": 2 * step, "width": 3 * step}
    sizes |= {TOKENS: tokens, PICTURES: 2}
    example = {
        port.name: torch.full(port.shape(sizes), port.fill, dtype=TORCH_DTYPES[port.dtype])
        for port in ports
    }
    # A side of one cell would be another graph, too, if two tensors of it are added: one is spread.
    least = {"min": 2} if any(port.downscale == step for port in ports if step > 1) else {}
    sides = Dim("rows", **least), Dim("columns", **least)
    return example, {port.name: _free_axes(port, step // port.downscale, sides) for port in ports}


def _free_axes(port: InputPort, step: int, sides: tuple[Any, Any]) -> dict[int, Any]:
    """A port's axes that vary, by their place.

    step: cells of which its height and width are multiples; sides: how many times as many.
    """
    free: dict[Axis | int, Any] = {
        "rows": _ROWS,
        "references": Dim("references"),
        "height": step * sides[0],
        "width": step * sides[1],
        # A text of one token would be another graph, because one is spread over any number.
        TOKENS: Dim("tokens", min=2),
        PICTURES: Dim("pictures"),
    }
    return {place: free[axis] for place, axis in enumerate(port.axes) if axis in free}


def _bank_axes(info: ModelInfo, step: int) -> dict[str, dict[int, Any]]:
    """Free axes of the bank: its entries, their height and width, and the tokens of each group.

    step: latent cells of which height and width are multiples. A trace cannot say that tokens
    follow from height and width; who calls makes them agree.
    """
    entries = Dim("entries")
    axes: dict[str, dict[int, Any]] = {
        BANK_MASK: {0: entries, 1: step * Dim("bank_rows"), 2: step * Dim("bank_columns")}
    }
    for number, group in enumerate(bank_groups(info.layers)):
        tokens = Dim(f"bank_tokens_{number}")
        axes[group.keys] = axes[group.values] = {1: entries, 2: tokens}
    return axes


def _simplify(model: onnxscript.ir.Model) -> None:
    """Fold constants and drop what nothing uses, in place; fusing is left to the runtimes."""
    onnxscript.optimizer.inline(model)
    onnxscript.optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=_may_fold)
    onnxscript.optimizer.remove_unused_nodes(model)
    passes = (
        passes_of_ir.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes_of_ir.CommonSubexpressionEliminationPass(),
        passes_of_ir.RemoveUnusedNodesPass(),
    )
    for simplify in passes:
        simplify(model)


def _may_fold(node: onnxscript.ir.Node) -> bool | None:
    """What reads a weight stays as it is: every weight keeps its name, shape and place."""
    return False if any(_in_a_file(value) for value in node.inputs) else None


def _in_a_file(value: onnxscript.ir.Value | None) -> bool:
    return value is not None and isinstance(value.const_value, onnxscript.ir.ExternalTensor)


def without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes (stack traces, with paths), changed in place."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for item in (model, graph, *graph.node, *values):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    return model


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silences what torch's exporter says of itself, and only that.

    A warning is known by its text; a log line by its logger, which tells of torchvision.
    """
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
            )
            yield
    finally:
        log.setLevel(level)
