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
from lafi.model.info import ModelInfo
from lafi_export.attention_op import translation_table, with_attention_function
from lafi_export.modules import ExportModules
from lafi_export.part_weights import PartWeights
from lafi_kernels import onnx_function

# diffusers' upsampling asks whether there are 64 rows or more and then does the same in other
# memory layout, so the trace holds for any batch though it is taken below that.
_BATCH: Final = Dim("batch", max=63)


@dataclass(frozen=True, slots=True)
class Graph:
    """One network to export: example inputs in order, and which of their axes may vary.

    whole: whether the module takes all inputs as one dictionary, else each by itself.
    """

    file: str
    module: nn.Module
    example: dict[str, Tensor]
    dynamic: dict[str, dict[int, Any]]
    outputs: tuple[str, ...]
    whole: bool = False


def graphs(modules: ExportModules, info: ModelInfo) -> tuple[Graph, ...]:
    """What is exported of a model. Height and width are multiples of `info.side_multiple`."""
    return (
        _text_encoder(modules, info),
        _vae_encoder(modules, info),
        _vae_decoder(modules, info),
        _denoiser(modules, info),
        _reference(modules, info),
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
    with torch.no_grad(), _expected_warnings():
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
        used = _point_into_files(exported.model, weights, path.parent)
        _simplify(exported.model)
    model = _without_metadata(exported.model_proto)
    if any(node.domain == onnx_function.DOMAIN for node in model.graph.node):
        model = with_attention_function(model)
    onnx.save(model, path)
    # By its path, since the checker looks for the files as well.
    onnx.checker.check_model(path, full_check=True)
    return used


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
    encoders = () if info.text_encoders == 1 else (info.text_encoders,)
    return Graph(
        file="text_encoder.onnx",
        module=modules.text_encoder,
        example={"token_ids": torch.ones(2, *encoders, info.text_length, dtype=torch.int64)},
        dynamic={"token_ids": {0: _BATCH}},
        outputs=("text", "pooled") if info.pooled_width else ("text",),
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


def _denoiser(modules: ExportModules, info: ModelInfo) -> Graph:
    step = info.side_multiple // info.vae_scale
    rows, references, entries, size = 3, 2, 2, (2 * step, 3 * step)
    batch, slots = _BATCH, Dim("references")
    high, wide = step * Dim("rows"), step * Dim("columns")
    shapes = bank_shapes(bank_groups(info.layers), entries, size)
    example, dynamic = _row_inputs(info, rows, size)
    example |= {
        "routes": torch.full((len(info.layers), rows, references), -1, dtype=torch.int32),
        "bias": torch.zeros(rows, references),
        "mask": torch.ones(rows, *size),
        "region": torch.ones(rows, references, *size),
        "words": torch.full((rows, info.text_length), -1, dtype=torch.int32),
        **_added_inputs(info, rows),
        **{name: torch.ones(shape) for name, shape in shapes.items()},
    }
    dynamic |= {
        "latents": {0: batch, 2: high, 3: wide},
        "routes": {1: batch, 2: slots},
        "bias": {0: batch, 1: slots},
        "mask": {0: batch, 1: high, 2: wide},
        "region": {0: batch, 1: slots, 2: high, 3: wide},
        "words": {0: batch},
        **{name: {0: batch} for name in _added_inputs(info, rows)},
        **_bank_axes(info, step),
    }
    return Graph("denoiser.onnx", modules.denoiser, example, dynamic, ("noise_pred",), whole=True)


def _reference(modules: ExportModules, info: ModelInfo) -> Graph:
    step = info.side_multiple // info.vae_scale
    high, wide = step * Dim("rows"), step * Dim("columns")
    example, dynamic = _row_inputs(info, 3, (2 * step, 3 * step))
    example |= _added_inputs(info, 3)
    dynamic |= {"latents": {0: _BATCH, 2: high, 3: wide}}
    dynamic |= {name: {0: _BATCH} for name in _added_inputs(info, 3)}
    names = tuple(bank_tensor_names(bank_groups(info.layers)))
    return Graph("reference.onnx", modules.reference, example, dynamic, names, whole=True)


def _row_inputs(
    info: ModelInfo, rows: int, size: tuple[int, int]
) -> tuple[dict[str, Tensor], dict[str, dict[int, Any]]]:
    """What every row of a UNet has, and which axes of it may vary; those of latents come later."""
    example = {
        "latents": torch.zeros(rows, info.latent_channels, *size),
        "timesteps": torch.zeros(rows),
        "text": torch.zeros(rows, info.text_length, info.text_width),
    }
    return example, {"latents": {}, "timesteps": {0: _BATCH}, "text": {0: _BATCH}}


def _added_inputs(info: ModelInfo, rows: int) -> dict[str, Tensor]:
    """`pooled` and `time_ids` of a model that takes them."""
    if not info.pooled_width:
        return {}
    return {"pooled": torch.zeros(rows, info.pooled_width), "time_ids": torch.ones(rows, 6)}


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


def _without_metadata(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes (stack traces, with paths), changed in place."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for item in (model, graph, *graph.node, *values):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    return model


@contextmanager
def _expected_warnings() -> Iterator[None]:
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
