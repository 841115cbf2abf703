"""Fewer nodes for TensorRT, the same numbers: exported and simplified graphs in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from lafi.model.artifacts import DENOISER, FILES
from lafi.model.engine_metadata import ShapeRange
from lafi.model.families.registry import input_ports
from lafi.model.info import load_model_info
from lafi_export.tensorrt_compare import values_of
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_export.tensorrt_profiles import Limits, Range, denoiser_profile, reference_profile
from lafi_export.tensorrt_simplify import simplified

HEAD = '<ir_version: 10, opset_import: ["" : 18]>\n'
Array = np.ndarray[Any, Any]


def model_of(text: str, **weights: Array) -> onnx.ModelProto:
    model = onnx.parser.parse_model(HEAD + text)
    model.graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in weights.items())
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def run(model: onnx.ModelProto | Path, feed: dict[str, Array]) -> list[Array]:
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, feed)
    return outputs


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


GROUPS = """g (float[n, 6, h, w] x) => (float[n, 6, h, w] y) {
    shape = Constant <value_ints = [0, 3, -1]> () axes = Constant <value_ints = [1, 2]> ()
    ones = Constant <value_floats = [1.0, 1.0, 1.0]> ()
    zeros = Constant <value_floats = [OFFSET]> ()
    a = Reshape (x, shape) b = InstanceNormalization <epsilon = 0.001> (a, ones, zeros)
    s = Shape (x) c = Reshape (b, s) u = Unsqueeze (weight, axes) v = Unsqueeze (bias, axes)
    d = Mul (c, u) y = Add (d, v) }"""
WEIGHTS = {"weight": np.float32([1, 2, 3, 4, 5, 6]), "bias": np.float32([6, 5, 4, 3, 2, 1])}


@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 3),
    height=st.integers(1, 5),
    width=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_a_group_normalisation_is_one_node(rows: int, height: int, width: int, seed: int) -> None:
    model = model_of(GROUPS.replace("OFFSET", "0.0, 0.0, 0.0"), **WEIGHTS)
    x = np.random.default_rng(seed).normal(size=(rows, 6, height, width)).astype(np.float32)
    (wanted,) = run(model, {"x": x})
    small = simplified(model, Path(), inline=True)
    assert operators(small) == ["GroupNormalization"]
    assert [tensor.name for tensor in small.graph.initializer] == [*WEIGHTS]
    np.testing.assert_allclose(run(small, {"x": x})[0], wanted, atol=2e-5)


def test_a_normalisation_with_weights_of_groups_stays() -> None:
    model = model_of(GROUPS.replace("OFFSET", "0.0, 1.0, 0.0"), **WEIGHTS)
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 4)).astype(np.float32)
    (wanted,) = run(model, {"x": x})
    small = simplified(model, Path(), inline=True)
    assert "InstanceNormalization" in operators(small)
    np.testing.assert_allclose(run(small, {"x": x})[0], wanted, atol=2e-5)


TURNED = """g (float[n, 2, t, 3] x) => (float[n, 2, 3, t] y) {
    last = Constant <value_ints = [LAST]> () second = Constant <value_ints = [-2]> ()
    first = Constant <value_ints = [-9223372036854775808]> ()
    end = Constant <value_ints = [9223372036854775807]> ()
    joined = Constant <value_ints = [-1]> () s = Shape (x)
    w = Slice (s, last, end) h = Slice (s, second, last) f = Slice (s, first, second)
    one = Concat <axis = 0> (joined, h, w) a = Reshape (x, one) b = Transpose <perm = [0, 2, 1]> (a)
    two = Concat <axis = 0> (f, w, h) y = Reshape (b, two) }"""


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 3), tokens=st.integers(1, 5))
def test_turned_keys_are_one_node(rows: int, tokens: int) -> None:
    model = model_of(TURNED.replace("LAST", "-1"))
    x = np.arange(rows * tokens * 6, dtype=np.float32).reshape(rows, 2, tokens, 3)
    small = simplified(model, Path(), inline=True)
    assert operators(small) == ["Transpose"]
    np.testing.assert_array_equal(run(small, {"x": x})[0], run(model, {"x": x})[0])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # An axis that stays and one that is left; the product of two that moved is not known.
        ("float[n, 4, h, w] x) => (float[n, h, w, 2, 2] y) {"
         " a = Transpose <perm = [0, 2, 3, 1]> (x) two = Constant <value_ints = [2, 2]> ()"
         " s = Shape <start = 0, end = 3> (a)"
         " t = Concat <axis = 0> (s, two) y = Reshape (a, t) }", ["Transpose", "Reshape"]),
        ("float[n, h, w] x) => (float[w, h, n] y) { s = Shape (x)"
         " i = Constant <value_ints = [2, 1, 0]> () t = Gather (s, i) y = Reshape (x, t) }",
         ["Shape", "Gather", "Reshape"]),
        # Nothing to do: the whole of it, the same shape, times one.
        ("float[n, h] x) => (float[n, h] y) <float[n, h] b> { s = Shape (x) a = Reshape (x, s)"
         " zero = Constant <value_ints = [0]> ()"
         " end = Constant <value_ints = [9223372036854775807]> ()"
         " b = Slice (a, zero, end) one = Constant <value = float {1.0}> () c = Div (b, one)"
         " y = Neg (c) }", ["Neg"]),
        # Not nothing: one that is left out, and a factor of two.
        ("float[n, h] x) => (float[m, h] y) { one = Constant <value_ints = [1]> () end = Constant"
         " <value_ints = [9223372036854775807]> () b = Slice (x, one, end)"
         " two = Constant <value = float {2.0}> () y = Div (b, two) }", ["Slice", "Div"]),
    ],
    ids=["one left", "two moved", "nothing", "something"],
)  # fmt: skip
def test_shape_arithmetic_goes_where_the_shapes_are_known(text: str, wanted: list[str]) -> None:
    model = model_of(f"g ({text}")
    small = simplified(model, Path(), inline=True)
    assert operators(small) == wanted
    rank = len(model.graph.input[0].type.tensor_type.shape.dim)
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 5)[:rank]).astype(np.float32)
    np.testing.assert_array_equal(run(small, {"x": x})[0], run(model, {"x": x})[0])


def test_what_is_asked_of_many_is_asked_of_one() -> None:
    text = """g (float[n, t] x, float[n, t] z) => (int64[2] y) {
        a = Neg (x) b = Shape <start = 1, end = 2> (a) c = Shape <start = 1, end = 2> (z)
        y = Concat <axis = 0> (b, c) }"""
    small = simplified(model_of(text), Path(), inline=True)
    assert operators(small).count("Shape") == 1
    same = np.zeros((2, 5), np.float32)
    assert run(small, {"x": same, "z": same})[0].tolist() == [5, 5]


LIMITS = Limits(rows=Range(1, 3, 4), batch=Range(1, 2, 4), side=Range(64, 64, 96))


def feeds_of(artifacts: Path, name: str) -> list[dict[str, Array]]:
    """Two rows or more of an exported file, once reading and once not where it can."""
    info = load_model_info(artifacts)
    ports = {port.name: port for port in input_ports(info)}
    shapes: dict[str, ShapeRange] = {}
    if name == DENOISER:
        shapes = denoiser_profile(info, LIMITS)
    elif name == "reference.onnx":
        shapes = reference_profile(info, LIMITS)
    generator = np.random.default_rng(0)
    if not shapes:
        (value, *_) = onnx.load(artifacts / name, load_external_data=False).graph.input
        if value.name == "token_ids":
            ids = generator.integers(0, 90, (2, info.text_length))
            return [{"token_ids": ids, "clip_skip": np.array([[0], [1]])}]
        sides = (2, 3, 64, 96) if value.name == "images" else (2, info.latent_channels, 8, 12)
        return [{value.name: generator.uniform(-1, 1, sides).astype(np.float32)}]
    feed = {
        key: values_of(key, ports.get(key), shape.tuned, 90, generator)
        for key, shape in shapes.items()
    }
    if "routes" not in feed:
        return [feed]
    rows = feed["routes"].shape[1]
    routes = np.full_like(feed["routes"], -1)
    routes[:, 0], routes[1:, 1] = 1, rows  # a row of the batch, and the bank's first entry
    return [feed, feed | {"routes": routes}]


@pytest.mark.parametrize("name", FILES)
def test_an_exported_network_gives_the_same_numbers(
    repository: Path, tmp_path: Path, name: str
) -> None:
    artifacts = repository / "artifacts"
    target = tmp_path / name
    write_graph(artifacts / name, target, GraphChange("f32", plugin=False))
    before, after = onnx.load(artifacts / name, load_external_data=False), onnx.load(target)
    assert len(after.graph.node) < len(before.graph.node)
    weights = {w.name for w in before.graph.initializer if w.data_location}
    assert weights <= {w.name for w in after.graph.initializer}
    for feed in feeds_of(artifacts, name):
        for got, wanted in zip(run(target, feed), run(artifacts / name, feed), strict=True):
            assert np.abs(wanted).max() > 0.01
            np.testing.assert_allclose(got, wanted, atol=2e-5, rtol=2e-4)
