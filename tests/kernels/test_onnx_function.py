"""The ONNX function means what the torch reference means, in ONNX Runtime and in OpenVINO."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_kernels import onnx_function
from lafi_kernels.reference import attention

HEADS = 2
WIDTH = 8
Feed = dict[str, np.ndarray[Any, Any]]
Run = Callable[[Feed], np.ndarray[Any, Any]]

BODIES = (onnx_function.attention_function, onnx_function.operator_function)

# Errors of two fp32 evaluations in other order; outputs are averages of values about 1.
TOLERANCE = 2e-6


def build_model(
    float_type: int = onnx.TensorProto.FLOAT, body: Callable[[], onnx.FunctionProto] = BODIES[0]
) -> onnx.ModelProto:
    """One node and the function, all sizes dynamic."""
    function = body()
    shapes: dict[str, list[str | int]] = {
        "q": ["B", "S", WIDTH],
        "k": ["B", "S", WIDTH],
        "v": ["B", "S", WIDTH],
        "bank_k": ["M", "S", WIDTH],
        "bank_v": ["M", "S", WIDTH],
        "routes": ["B", "R"],
        "bias": ["B", "R"],
        "mask": ["B", "S"],
        "bank_mask": ["M", "S"],
        "region": ["B", "R", "S"],
    }
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.INT32 if name == "routes" else float_type, shapes[name]
        )
        for name in onnx_function.INPUTS
    ]
    output = onnx.helper.make_tensor_value_info("o", float_type, ["B", "S", WIDTH])
    node = onnx.helper.make_node(
        onnx_function.OP_NAME,
        list(onnx_function.INPUTS),
        ["o"],
        domain=onnx_function.DOMAIN,
        heads=HEADS,
    )
    return onnx.helper.make_model(
        onnx.helper.make_graph([node], "attention", inputs, [output]),
        opset_imports=[
            *function.opset_import,
            onnx.helper.make_opsetid(onnx_function.DOMAIN, onnx_function.DOMAIN_VERSION),
        ],
        functions=[function],
        ir_version=10,
    )


def onnxruntime_runner(model: onnx.ModelProto) -> Run:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return lambda feed: session.run(None, feed)[0]


def openvino_runner(model: onnx.ModelProto) -> Run:
    core = openvino.Core()
    inlined = onnx.inliner.inline_local_functions(model)
    compiled = core.compile_model(
        core.read_model(inlined.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda feed: np.array(compiled(feed)[0])


@pytest.fixture(
    scope="module",
    params=[(runner, body) for body in BODIES for runner in (onnxruntime_runner, openvino_runner)],
    ids=lambda both: f"{both[0].__name__}-{both[1].__name__}",
)
def run(request: pytest.FixtureRequest) -> Run:
    runner, body = request.param
    result: Run = runner(build_model(body=body))
    return result


def random_feed(seed: int, rows: int, tokens: int, references: int, bank: int) -> Feed:
    """Standard normal tensors, weights with exact zeros, routes to rows, bank and nothing."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray[Any, Any]:
        return rng.standard_normal(shape).astype(np.float32)

    def weights(*shape: int) -> np.ndarray[Any, Any]:
        return (rng.random(shape) * (rng.random(shape) > 0.3)).astype(np.float32)

    return {
        "q": normal(rows, tokens, WIDTH),
        "k": normal(rows, tokens, WIDTH),
        "v": normal(rows, tokens, WIDTH),
        "bank_k": normal(bank, tokens, WIDTH),
        "bank_v": normal(bank, tokens, WIDTH),
        "routes": rng.integers(-1, rows + bank, (rows, references)).astype(np.int32),
        "bias": normal(rows, references),
        "mask": weights(rows, tokens),
        "bank_mask": weights(bank, tokens),
        "region": weights(rows, references, tokens),
    }


def reference(feed: Feed) -> np.ndarray[Any, Any]:
    tensors = [torch.from_numpy(feed[name]) for name in onnx_function.INPUTS]
    result: np.ndarray[Any, Any] = attention(*tensors, HEADS).numpy()
    return result


def test_the_model_is_valid_onnx() -> None:
    model = build_model()
    onnx.checker.check_model(model, full_check=True)
    onnx.checker.check_model(onnx.inliner.inline_local_functions(model), full_check=True)
    assert [tuple(f.input) for f in model.functions] == [onnx_function.INPUTS]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 4),
    tokens=st.integers(1, 9),
    references=st.integers(1, 3),
    bank=st.integers(0, 2),
)
def test_it_equals_the_torch_reference(
    run: Run, seed: int, rows: int, tokens: int, references: int, bank: int
) -> None:
    feed = random_feed(seed, rows, tokens, references, bank)
    np.testing.assert_allclose(run(feed), reference(feed), atol=TOLERANCE, rtol=0)


def test_a_row_without_routes_gets_plain_attention_beside_a_routed_row(run: Run) -> None:
    feed = random_feed(1, 3, 7, 2, 1)
    feed["routes"] = np.array([[1, 3], [-1, -1], [0, 0]], np.int32)
    mixed = run(feed)
    feed["routes"] = np.full((3, 2), -1, np.int32)
    plain = run(feed)
    np.testing.assert_allclose(mixed[1], plain[1], atol=TOLERANCE, rtol=0)
    assert np.abs(mixed[0] - plain[0]).max() > 1e-3


@pytest.mark.parametrize("name", ["mask", "region"])
def test_zero_weights_exclude_exactly_what_is_not_finite_elsewhere(run: Run, name: str) -> None:
    feed = random_feed(2, 2, 5, 1, 0)
    feed["routes"] = np.array([[1], [0]], np.int32)
    feed["bias"] = np.full((2, 1), 10.0, np.float32)
    feed["mask"] = np.ones_like(feed["mask"])
    feed["region"] = np.ones_like(feed["region"])
    feed[name] = np.zeros_like(feed[name])
    routed = run(feed)
    feed["routes"] = np.full((2, 1), -1, np.int32)
    assert np.isfinite(routed).all()
    np.testing.assert_allclose(routed, run(feed), atol=TOLERANCE, rtol=0)


def test_a_bias_of_minus_infinity_is_plain_attention(run: Run) -> None:
    feed = random_feed(3, 2, 5, 1, 0)
    feed["routes"] = np.array([[1], [0]], np.int32)
    feed["bias"] = np.full((2, 1), -np.inf, np.float32)
    routed = run(feed)
    feed["routes"] = np.full((2, 1), -1, np.int32)
    np.testing.assert_allclose(routed, run(feed), atol=TOLERANCE, rtol=0)


def test_no_reference_slots_at_all(run: Run) -> None:
    feed = random_feed(4, 2, 5, 0, 1)
    np.testing.assert_allclose(run(feed), reference(feed), atol=TOLERANCE, rtol=0)


def test_it_runs_in_half_precision() -> None:
    run_half = onnxruntime_runner(build_model(onnx.TensorProto.FLOAT16))
    feed = random_feed(5, 3, 6, 2, 1)
    half = {k: x if k == "routes" else x.astype(np.float16) for k, x in feed.items()}
    np.testing.assert_allclose(run_half(half), reference(feed), atol=5e-3, rtol=0)
