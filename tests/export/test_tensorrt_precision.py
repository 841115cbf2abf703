"""fp32 graphs in 16 bits: what is converted, what is not, and that the numbers stay near."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from lafi.engine.onnx.engines import denoiser_feed
from lafi.model.bank_groups import bank_groups
from lafi.model.engine_metadata import EngineMetadata
from lafi.model.families.registry import input_ports
from lafi.model.info import load_model_info
from lafi_export.parity_cases import denoiser_cases
from lafi_export.tensorrt_compare import TOLERANCES, sample_feeds
from lafi_export.tensorrt_precision import PrecisionError, half_weights, to_half
from lafi_export.tensorrt_profiles import Limits, Range, reference_profile
from lafi_kernels.onnx_function import attention_function

HEADER = '<ir_version: 10, opset_import: ["" : 18]>\n'


def parsed(body: str, **weights: Any) -> ModelProto:
    """A graph in ONNX's text form, with these initializers."""
    model = onnx.parser.parse_model(HEADER + body)
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    onnx.checker.check_model(model)
    return model


def run_all(model: ModelProto, **feed: Any) -> list[np.ndarray[Any, Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    outputs: list[np.ndarray[Any, Any]] = session.run(None, feed)
    return outputs


def run(model: ModelProto, **feed: Any) -> np.ndarray[Any, Any]:
    return run_all(model, **feed)[0]


def copy(model: ModelProto) -> ModelProto:
    other = ModelProto()
    other.CopyFrom(model)
    return other


def initializers(model: ModelProto) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def operators(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.fixture
def linear() -> ModelProto:
    weights = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    return parsed(
        "g (float[n, 8] x) => (float[n, 4] y) { h = MatMul (x, w)  y = Add (h, b) }",
        w=weights,
        b=np.ones(4, np.float32),
    )


def test_weights_are_half_and_the_outside_is_not(linear: ModelProto) -> None:
    before = copy(linear)
    half = to_half(linear, exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert initializers(half) == {"w": TensorProto.FLOAT16, "b": TensorProto.FLOAT16}
    assert half.graph.input == before.graph.input
    assert half.graph.output == before.graph.output
    assert operators(half) == ["Cast", "MatMul", "Add", "Cast"]
    x = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    wanted, got = run(before, x=x), run(half, x=x)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - wanted).max() < 0.02


def test_what_follows_a_timestep_is_exact_up_to_the_first_weights() -> None:
    body = (
        "g (float[n, 1] timesteps) => (float[n, 2] y) "
        "{ late = Sub (timesteps, f)  s = Abs (late)  y = MatMul (s, w) }"
    )
    weights = {"f": np.float32([996.3, 0.77]), "w": np.eye(2, dtype=np.float32)}
    model = parsed(body, **weights)
    times = np.float32([[999.0], [997.0], [3.0]]) - 0.1
    wanted = run(model, timesteps=times)
    half = to_half(copy(model), exact_inputs=("timesteps",))
    assert initializers(half) == {"f": TensorProto.FLOAT, "w": TensorProto.FLOAT16}
    assert np.abs(run(half, timesteps=times) - wanted)[:2, 0].max() < 5e-3
    rounded = to_half(copy(model), exact_inputs=())
    assert np.abs(run(rounded, timesteps=times) - wanted)[:2, 0].max() > 0.1


def test_rotary_positions_are_exact_up_to_their_cosines() -> None:
    """Of whole numbers, as of a picture's rows and columns."""
    body = (
        "g (int64[n, 1] places, float[n, 2] x) => (float[n, 2] y) "
        "{ number = Cast <to = 1> (places)  angle = Mul (number, speeds)  c = Cos (angle) "
        "y = Mul (x, c) }"
    )
    model = parsed(body, speeds=np.float32([1.0, 0.77]))
    places = np.arange(200, 700)[:, None]
    feed = {"places": places, "x": np.ones((500, 2), np.float32)}
    half = to_half(copy(model), exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert initializers(half) == {"speeds": TensorProto.FLOAT}
    assert np.abs(run(half, **feed) - run(model, **feed)).max() < 1e-3
    assert operators(half) == ["Cast", "Mul", "Cos", "Cast", "Cast", "Mul", "Cast"]


@pytest.mark.parametrize(
    "body",
    ["w = Cast <to = 7> (d)  y = Cast <to = 1> (w)", "w = Floor (d)  y = Neg (w)",
     "w = Less (d, most)  y = Cast <to = 1> (w)"],
    ids=["whole number", "rounding", "comparison"],
)  # fmt: skip
@pytest.mark.parametrize("precision", ["f16", "bf16"])
def test_what_is_rounded_or_compared_is_exact(body: str, precision: Any) -> None:
    """Half would make 2048 of 2047.9, or less than 2048 of it no more."""
    graph = f"g (float[n] x) => (float[n] y) {{ d = Sub (x, one)  {body} }}"
    model = parsed(graph, one=np.float32(0.5), most=np.float32(2048))
    half = to_half(copy(model), exact_inputs=(), precision=precision)
    onnx.checker.check_model(half, full_check=True)
    x = np.float32([2048.4, 287.4, 2049])
    if precision == "f16":
        assert run(half, x=x).tolist() == run(model, x=x).tolist()
    assert operators(half)[:2] == operators(model)[:2]


def test_a_shape_is_asked_of_what_is_there() -> None:
    body = (
        "g (float[n, 2] x) => (float[n, 2] y) { h = MatMul (x, w)  s = Shape <end = 1> (h) "
        "f = Cast <to = 1> (s)  c = Cos (f)  y = Mul (h, c) }"
    )
    half = to_half(parsed(body, w=np.eye(2, dtype=np.float32)), exact_inputs=())
    assert operators(half) == ["Cast", "MatMul", "Shape", "Cast", "Cos", "Cast", "Mul", "Cast"]


def test_what_follows_weights_is_half_even_before_a_sine() -> None:
    body = "g (float[n, 2] x) => (float[n, 2] y) { h = MatMul (x, w)  y = Sin (h) }"
    half = to_half(parsed(body, w=np.eye(2, dtype=np.float32)), exact_inputs=())
    assert initializers(half) == {"w": TensorProto.FLOAT16}


def test_bfloat16_holds_what_float16_does_not() -> None:
    body = "g (float[n, 2] x) => (float[n, 2] y) { h = MatMul (x, w)  y = Add (h, low) }"
    weights = {"w": np.float32([[1e6, 0.1], [3, 1e-30]]), "low": np.float32(-3.4028235e38)}
    half = to_half(parsed(body, **weights), exact_inputs=(), precision="bf16")
    onnx.checker.check_model(half, full_check=True)
    assert initializers(half) == dict.fromkeys(weights, TensorProto.BFLOAT16)
    kept = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in half.graph.initializer}
    np.testing.assert_allclose(kept["w"], weights["w"], rtol=2**-8)
    assert np.isfinite(kept["low"])
    assert [node.attribute[0].i for node in half.graph.node if node.op_type == "Cast"] == [
        TensorProto.BFLOAT16,
        TensorProto.FLOAT,
    ]
    with pytest.raises(
        PrecisionError, match=r"w: got a weight of 1e\+06, allowed 65504 in float16"
    ):
        to_half(parsed(body, **weights), exact_inputs=())


def test_an_operator_gets_fp32_where_it_takes_nothing_else() -> None:
    body = (
        "g (float[1, 1, h, w] x) => (float[1, 1, p, q] y) "
        '{ r = Resize <mode = "nearest"> (x, , scales)  y = Mul (r, c) }'
    )
    weights = {"scales": np.float32([1, 1, 2, 2]), "c": np.float32(0.5)}
    half = to_half(parsed(body, **weights), exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert initializers(half) == {"scales": TensorProto.FLOAT, "c": TensorProto.FLOAT16}
    x = np.float32([[[[1, 2], [3, 4]]]])
    assert run(half, x=x)[0, 0, :2].tolist() == [[0.5, 0.5, 1.0, 1.0]] * 2


def test_an_operator_without_a_half_form_stays_fp32() -> None:
    body = (
        "g (float[n] x) => (float[m] y) "
        "{ a = Constant <value_float = 0.0> ()  b = Constant <value_float = 3.0> () "
        "c = Constant <value_float = 1.0> ()  r = Range (a, b, c)  y = Add (x, r) }"
    )
    half = to_half(parsed(body), exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert run(half, x=np.float32([1, 1, 1])).tolist() == [1, 2, 3]


def test_a_weight_that_was_half_is_used_as_it_is() -> None:
    body = "g (float[n, 2] x) => (float[n, 2] y) { f = Cast <to = 1> (w)  y = MatMul (x, f) }"
    half = to_half(parsed(body, w=np.eye(2, dtype=np.float16)), exact_inputs=())
    assert operators(half) == ["Cast", "MatMul", "Cast"]
    assert run(half, x=np.float32([[2, 3]])).tolist() == [[2, 3]]


def test_a_value_that_is_read_and_given_back_keeps_its_name() -> None:
    body = "g (float[n] x) => (float[n] y, float[n] z) { y = Add (x, x)  z = Mul (y, y) }"
    half = to_half(parsed(body), exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert run(half, x=np.float32([3])).tolist() == [6]


def test_integers_are_left_alone() -> None:
    body = (
        "g (int64[n] ids) => (float[n, 2] y) "
        "{ e = Gather (table, ids)  f = Cast <to = 1> (ids)  u = Unsqueeze (f, one) "
        "y = Add (e, u) }"
    )
    weights = {"table": np.float32([[1, 2], [3, 4]]), "one": np.int64([1])}
    half = to_half(parsed(body, **weights), exact_inputs=())
    onnx.checker.check_model(half, full_check=True)
    assert run(half, ids=np.int64([1, 0])).tolist() == [[4, 5], [1, 2]]


def test_the_attention_op_is_half_all_through() -> None:
    shapes = "float[2, 4, 8] q, float[2, 4, 8] k, float[2, 4, 8] v, float[0, 4, 8] bk, "
    shapes += "float[0, 4, 8] bv, int32[2, 1] routes, float[2, 1] bias, float[2, 4] mask, "
    shapes += "float[0, 4] bm, float[2, 1, 4] region"
    text = (
        '<ir_version: 10, opset_import: ["" : 18, "lafi" : 1]>\n'
        f"g ({shapes}) => (float[2, 4, 8] o) {{ o = lafi.LafiAttention <heads = 2> "
        "(q, k, v, bk, bv, routes, bias, mask, bm, region) }"
    )
    model = onnx.parser.parse_model(text)
    model.functions.append(attention_function())
    before = copy(model)
    half = to_half(model, exact_inputs=())
    (node,) = (node for node in half.graph.node if node.domain == "lafi")
    assert [name for name in node.input if not name.endswith("_half")] == ["routes"]
    generator = np.random.default_rng(0)
    feed: dict[str, Any] = {
        name: generator.normal(size=size).astype(np.float32)
        for name, size in {"q": (2, 4, 8), "k": (2, 4, 8), "v": (2, 4, 8), "bias": (2, 1)}.items()
    }
    feed |= {name: np.zeros((0, 4, 8), np.float32) for name in ("bk", "bv")}
    feed |= {"bm": np.zeros((0, 4), np.float32), "routes": np.int32([[1], [-1]])}
    feed |= {"mask": np.float32([[1, 0, 1, 0.5]] * 2), "region": np.ones((2, 1, 4), np.float32)}
    assert np.abs(run(half, **feed) - run(before, **feed)).max() < 5e-3


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([-3.4e38, 0.5], [-65504.0, 0.5]),
        ([-np.inf, np.inf], [-np.inf, np.inf]),
        ([65504.0, -65504.0], [65504.0, -65504.0]),
        ([1e-12, 1.0], [0.0, 1.0]),
    ],
)
def test_values_at_the_edges(values: list[float], wanted: list[float]) -> None:
    assert half_weights("w", np.float32(values)).tolist() == wanted


def test_a_single_tiny_number_stays_above_zero() -> None:
    assert half_weights("eps", np.float32(1e-12)) > 0
    assert half_weights("eps", np.float32(-1e-12)) < 0
    assert half_weights("zero", np.float32(0.0)) == 0


def test_a_weight_that_does_not_fit_is_named(linear: ModelProto) -> None:
    linear.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((8, 4), 1e5, np.float32), "w")
    )
    with pytest.raises(
        PrecisionError, match=r"w: got a weight of 100000, allowed 65504 in float16"
    ):
        to_half(linear, exact_inputs=())


def test_a_branch_is_refused() -> None:
    body = (
        "g (bool c, float[n] x) => (float[n] y) "
        "{ y = If (c) < then_branch = t () => (a) { a = Identity (x) }, "
        "else_branch = e () => (b) { b = Neg (x) } > }"
    )
    with pytest.raises(PrecisionError, match="If: got a branch or loop, allowed plain nodes"):
        to_half(parsed(body), exact_inputs=())


def test_keys_and_values_of_references_are_near(repository: Path) -> None:
    artifacts = repository / "artifacts"
    model = onnx.load(artifacts / "reference.onnx")
    info = load_model_info(artifacts)
    profile = reference_profile(info, Limits(side=Range(32, 32, 64)))
    metadata = EngineMetadata.model_construct(profile=profile)
    (feed,) = sample_feeds(metadata, vocabulary=9, ports=input_ports(info))
    exact = [port.name for port in input_ports(info) if port.exact]
    half = to_half(copy(model), exact_inputs=exact)
    onnx.checker.check_model(half, full_check=True)
    assert half.ByteSize() < 0.6 * model.ByteSize()
    wanted, got = run_all(model, **feed), run_all(half, **feed)
    assert len(got) == len(model.graph.output)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == np.float32
        assert np.allclose(one, other, rtol=TOLERANCES["f16"], atol=TOLERANCES["f16"])


def test_a_whole_denoiser_is_near(repository: Path) -> None:
    artifacts = repository / "artifacts"
    model = onnx.load(artifacts / "denoiser.onnx")
    info = load_model_info(artifacts)
    ports = input_ports(info)
    half = to_half(copy(model), exact_inputs=[port.name for port in ports if port.exact])
    onnx.checker.check_model(half, full_check=True)
    assert half.ByteSize() < 0.6 * model.ByteSize()
    for _, batch in list(denoiser_cases(info))[3:6]:
        feed = denoiser_feed(batch, ports, bank_groups(info.layers))
        wanted, got = run(model, **feed), run(half, **feed)
        error = np.abs(got - wanted).max() / max(1.0, float(np.abs(wanted).max()))
        assert 0 < error < 5e-3
