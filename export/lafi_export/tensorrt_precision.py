"""An exported fp32 graph in fp16 or bf16, typed throughout: TensorRT 11 chooses none by itself.

Inputs and outputs stay fp32, with a Cast behind and before each. Knows ONNX, not TensorRT and
not what a graph is for.

ONNX Runtime's converter (1.31.1, `onnxruntime.transformers.float16.convert_float_to_float16`) was
tried in its place, with the nodes that have to stay fp32 named to it and its nodes put in order
afterwards. 9 of the 16 tests in tests/export/test_tensorrt_precision.py fail, 4 of them over forms
alone (names, a Cast too many, a warning, 1e-12 made 6e-8). The other five are why it is not used:

- a whole denoiser is no valid ONNX: `mul_119_cast_to_fp32` is made twice, once for each fp32 node
  that reads the value;
- timesteps go through fp16 on their way to nodes that stay fp32: an error of 0.19, allowed 0.001;
- a Constant of plain numbers (`value_float`) stays fp32 and is declared fp16;
- a weight of 100000 is clipped to 65504 without a word;
- a branch is accepted.

It also wants all weights in memory at once, where `read` gives one at a time.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
ReadTensor = Callable[[TensorProto], Array]
"""The values of an initializer, wherever they are kept."""

_FLOAT: Final = TensorProto.FLOAT
HalfPrecision = Literal["f16", "bf16"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of 16 bits. onnx: its number there; smallest: the least number that is not 0."""

    onnx: int
    name: str
    largest: float
    smallest: float


_KINDS: Final[dict[HalfPrecision, _Kind]] = {
    "f16": _Kind(TensorProto.FLOAT16, "float16", 65504.0, 2.0**-24),
    "bf16": _Kind(TensorProto.BFLOAT16, "bfloat16", (2.0 - 2.0**-7) * 2.0**127, 2.0**-133),
}
_WHOLE: Final = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)
_STANDS_FOR_INFINITY: Final = 1e30
# What is computed with weights may be rounded again; what comes before only shapes a number.
_WEIGHT_OPS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_NOT_FOLLOWED: Final = _WEIGHT_OPS | {"Shape", "Size"}
"""Whose results do not get better by more exact inputs: a shape is the same in any type."""
_ENLARGES_ERRORS: Final = frozenset(
    {"Ceil", "Cos", "Equal", "Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Round"}
    | {"Sin"}
)
"""What these are given is an angle or a number of things: fp16 would round 500 radians by 0.2, and
bf16 takes 287 for 288. So is what becomes a whole number."""


class PrecisionError(ValueError):
    """A graph that has no fp16 form; the text names the node or the weight."""


def to_half(
    model: ModelProto,
    *,
    exact_inputs: Collection[str],
    read: ReadTensor = numpy_helper.to_array,
    precision: HalfPrecision = "f16",
) -> ModelProto:
    """The model with fp16 or bf16 weights and values, changed in place.

    exact_inputs: graph inputs from which on everything stays fp32 up to the first product with
    weights, such as timesteps, whose sines are taken (fp16 would round them by up to 0.5); names
    that the graph does not have are passed over. So does what sines, cosines, roundings and
    comparisons are computed from, back to the last product with weights: rotary positions, and
    places in a table. Values that an operator takes in fp32 alone stay so too. read: how the
    values of a weight are had. Masks of about -1e38 become the largest number of the type. Raises
    PrecisionError for a weight that it cannot hold, and for branches and loops in the graph itself
    (those in functions are left to the functions).
    """
    _Conversion(model, exact_inputs, read, precision).run()
    return model


def half_weights(name: str, values: Array, precision: HalfPrecision = "f16") -> Array:
    """fp32 values of any shape in 16 bits. Raises PrecisionError if a finite one does not fit."""
    kind = _KINDS[precision]
    finite = np.isfinite(values)
    magnitudes = np.abs(values, where=finite, out=np.zeros_like(values))
    too_large = (magnitudes > kind.largest) & (magnitudes < _STANDS_FOR_INFINITY)
    if too_large.any():
        worst = float(magnitudes[too_large].max())
        allowed = f"allowed {kind.largest:g} in {kind.name}"
        raise PrecisionError(f"{name}: got a weight of {worst:g}, {allowed}")
    clipped = np.where(finite, np.clip(values, -kind.largest, kind.largest), values)
    if clipped.size == 1 and 0 < magnitudes.max() < kind.smallest:
        # A single tiny number guards a division or a logarithm and must not become 0.
        clipped = np.sign(clipped) * kind.smallest
    # The cast may underflow, as it should, but says so as a warning.
    with np.errstate(under="ignore"):
        return clipped.astype(helper.tensor_dtype_to_np_dtype(kind.onnx))


class _Conversion:
    """One pass over the graph's nodes in their order."""

    def __init__(
        self,
        model: ModelProto,
        exact_inputs: Collection[str],
        read: ReadTensor,
        precision: HalfPrecision,
    ) -> None:
        self._precision = precision
        self._kind = _KINDS[precision]
        self._graph = model.graph
        self._read = read
        self._versions = {opset.domain: opset.version for opset in model.opset_import}
        self._types = _element_types(model)
        self._exact = self._exact_nodes(exact_inputs)
        self._alias: dict[str, str] = {}
        self._casts: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []

    def run(self) -> None:
        kept = self._kept_initializers()
        types = dict(self._types)
        for tensor in self._graph.initializer:
            if tensor.data_type == _FLOAT and tensor.name not in kept:
                values = half_weights(tensor.name, self._read(tensor), self._precision)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
                types[tensor.name] = self._kind.onnx
        for index, node in enumerate(self._graph.node):
            self._convert(index, node, types)
        self._restore_outputs(types)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        del self._graph.value_info[:]

    def _exact_nodes(self, exact_inputs: Collection[str]) -> set[int]:
        """Indices of nodes that stay fp32."""
        exact, values = set[int](), set(exact_inputs)
        for index, node in enumerate(self._graph.node):
            for attribute in node.attribute:
                if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
                    raise PrecisionError(
                        f"{node.name or node.op_type}: got a branch or loop, allowed plain nodes"
                    )
            follows = any(name in values for name in node.input)
            if follows and node.op_type not in _WEIGHT_OPS:
                values.update(node.output)
                exact.add(index)
            elif not self._may_be_half(node):
                exact.add(index)
        return exact | self._before_roundings()

    def _before_roundings(self) -> set[int]:
        """Indices of the nodes that sines and the like are computed by, and of those."""
        exact, values = set[int](), set[str]()
        for index, node in reversed([*enumerate(self._graph.node)]):
            needed = not values.isdisjoint(node.output) and node.op_type not in _NOT_FOLLOWED
            if needed or node.op_type in _ENLARGES_ERRORS or self._becomes_whole(node):
                values.update(name for name in node.input if name)
                exact.add(index)
        return exact

    def _becomes_whole(self, node: NodeProto) -> bool:
        """Whether a number loses its fraction, as where a distance becomes a place in a table."""
        if not _is_cast(node) or self._types.get(node.input[0]) != _FLOAT:
            return False
        return self._types[node.output[0]] in _WHOLE

    def _may_be_half(self, node: NodeProto) -> bool:
        """Whether the operator takes fp16 wherever the type of its float inputs is its choice."""
        return all(
            half or fixed
            for i, name in enumerate(node.input)
            if self._types.get(name) == _FLOAT
            for half, fixed in [self._input_rule(node, i)]
        )

    def _input_rule(self, node: NodeProto, index: int) -> tuple[bool, bool]:
        """(takes fp16, takes fp32 whatever the others are), by the operator's own schema."""
        if node.domain not in ("", "ai.onnx"):
            return True, False
        version = self._versions.get(node.domain) or self._versions[""]
        schema = onnx.defs.get_schema(node.op_type, version, "")
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        return f"tensor({self._kind.name})" in formal.types, formal.types == {"tensor(float)"}

    def _wanted(self, index: int, node: NodeProto, i: int) -> int:
        return _FLOAT if index in self._exact or self._input_rule(node, i)[1] else self._kind.onnx

    def _kept_initializers(self) -> set[str]:
        """Weights that some node takes in fp32."""
        return {
            name
            for index, node in enumerate(self._graph.node)
            for i, name in enumerate(node.input)
            if self._wanted(index, node, i) == _FLOAT
        }

    def _convert(self, index: int, node: NodeProto, types: dict[str, int]) -> None:
        for i, name in enumerate(node.input):
            node.input[i] = self._alias.get(name, name)
        exact = index in self._exact
        if not exact and _casts_to_float(node):
            if types.get(node.input[0]) == self._kind.onnx:  # a weight that was fp16 all along
                self._alias[node.output[0]] = node.input[0]
                return
        elif not _is_cast(node):
            for i, name in enumerate(node.input):
                if types.get(name) in (_FLOAT, self._kind.onnx):
                    node.input[i] = self._cast(name, self._wanted(index, node, i), types)
        if not exact:
            self._retype_attributes(node)
            half = {name: self._kind.onnx for name in node.output if types.get(name) == _FLOAT}
            types.update(half)
        self._nodes.append(node)

    def _cast(self, name: str, wanted: int, types: dict[str, int]) -> str:
        """The value's name in the wanted type; one Cast serves all who want it."""
        if types[name] == wanted:
            return name
        if (name, wanted) not in self._casts:
            suffix = "float" if wanted == _FLOAT else "half"
            made = self._casts[name, wanted] = f"{name}_{suffix}"
            types[made] = wanted
            self._nodes.append(helper.make_node("Cast", [name], [made], name=made, to=wanted))
        return self._casts[name, wanted]

    def _restore_outputs(self, types: dict[str, int]) -> None:
        """Outputs of the graph keep their names and their fp32."""
        for output in self._graph.output:
            name = output.name
            if types.get(name) != self._kind.onnx or self._types[name] != _FLOAT:
                continue
            inner = self._alias.get(name, f"{name}_half")
            for node in self._nodes:
                node.input[:] = [inner if value == name else value for value in node.input]
                node.output[:] = [inner if value == name else value for value in node.output]
            self._nodes.append(helper.make_node("Cast", [inner], [name], name=name, to=_FLOAT))

    def _retype_attributes(self, node: NodeProto) -> None:
        """What a node says of its own output's type or holds as a constant becomes half."""
        name = node.name or node.op_type
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == _FLOAT:
                attribute.i = self._kind.onnx
            elif attribute.type == AttributeProto.TENSOR and attribute.t.data_type == _FLOAT:
                values = half_weights(name, numpy_helper.to_array(attribute.t), self._precision)
                attribute.t.CopyFrom(numpy_helper.from_array(values, attribute.t.name))
            elif node.op_type == "Constant" and attribute.type in (
                AttributeProto.FLOAT,
                AttributeProto.FLOATS,
            ):
                single = attribute.type == AttributeProto.FLOAT
                numbers = np.array(attribute.f if single else list(attribute.floats), np.float32)
                tensor = numpy_helper.from_array(half_weights(name, numbers, self._precision))
                attribute.CopyFrom(helper.make_attribute("value", tensor))


def _element_types(model: ModelProto) -> dict[str, int]:
    """Element type of every value of the graph, inferred where the file does not say it."""
    graph = model.graph
    types = dict(_declared_types(graph))
    produced = (name for node in graph.node for name in node.output if name)
    if any(name not in types for name in produced):
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        types.update(_declared_types(inferred.graph))
    missing = [name for node in graph.node for name in node.output if name and name not in types]
    if missing:
        raise PrecisionError(f"{missing[0]}: the graph does not say its type")
    return types


def _declared_types(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type:
            yield value.name, value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        yield tensor.name, tensor.data_type


def _is_cast(node: NodeProto) -> bool:
    return node.op_type == "Cast" and not node.domain


def _casts_to_float(node: NodeProto) -> bool:
    return _is_cast(node) and any(a.name == "to" and a.i == _FLOAT for a in node.attribute)
