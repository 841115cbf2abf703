"""Laws of what pictures add to a cross-attention layer, in torch and as an ONNX function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import openvino
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi_kernels import onnx_function
from lafi_kernels.picture_attention import picture_attention
from lafi_kernels.picture_function import INPUTS, OP_NAME, picture_attention_function

HEADS, WIDTH = 2, 8
TOLERANCE = 2e-6

Given = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5))


def random_inputs(sizes: tuple[int, int, int, int], seed: int = 0) -> Given:
    """sizes: rows, query tokens, pictures, tokens of a picture."""
    rows, tokens, pictures, length = sizes
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return (
        normal(rows, tokens, WIDTH),
        normal(rows, tokens, WIDTH),
        normal(rows, pictures, length, WIDTH),
        normal(rows, pictures, length, WIDTH),
        normal(rows, pictures, tokens),
    )


def by_hand(base: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor) -> Tensor:
    """Picture after picture, by torch's own attention."""

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)

    for place in range(k.shape[1]):
        read = F.scaled_dot_product_attention(heads(q), heads(k[:, place]), heads(v[:, place]))
        base = base + weights[:, place, :, None] * read.transpose(1, 2).flatten(2)
    return base


@settings(deadline=None)
@given(SIZES, st.integers(0, 99))
def test_it_is_attention_to_each_picture_and_the_sum_of_all(
    sizes: tuple[int, int, int, int], seed: int
) -> None:
    inputs = random_inputs(sizes, seed)
    expected = by_hand(*inputs)
    torch.testing.assert_close(picture_attention(*inputs, HEADS), expected, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(SIZES, st.integers(0, 99), st.data())
def test_weight_0_is_nothing(
    sizes: tuple[int, int, int, int], seed: int, data: st.DataObject
) -> None:
    """Of all pictures: the very bits. Of one: as without it, whatever it is."""
    base, q, k, v, weights = random_inputs(sizes, seed)
    assert torch.equal(picture_attention(base, q, k, v, torch.zeros_like(weights), HEADS), base)
    place = data.draw(st.integers(0, sizes[2] - 1))
    weights[:, place] = 0.0
    others = [other for other in range(sizes[2]) if other != place]
    without = (k[:, others], v[:, others], weights[:, others])
    expected = picture_attention(base, q, *without, HEADS) if others else base
    got = picture_attention(base, q, k, v, weights, HEADS)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_no_tokens_are_nothing() -> None:
    base, q, _, _, _ = random_inputs((2, 3, 1, 4))
    none = torch.zeros(2, 0, 4, WIDTH)
    got = picture_attention(base, q, none, none, torch.zeros(2, 0, 3), HEADS)
    assert torch.equal(got, base)


@settings(deadline=None)
@given(SIZES, st.integers(0, 99))
def test_a_row_does_not_depend_on_those_beside_it(
    sizes: tuple[int, int, int, int], seed: int
) -> None:
    inputs = random_inputs(sizes, seed)
    together = picture_attention(*inputs, HEADS)
    for row in range(sizes[0]):
        alone = picture_attention(*(x[row : row + 1] for x in inputs), HEADS)
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_wrong_shapes_are_refused() -> None:
    base, q, k, v, weights = random_inputs((2, 3, 1, 4))
    with pytest.raises(ValueError, match="heads: got 3, allowed a divisor of the width 8"):
        picture_attention(base, q, k, v, weights, 3)
    with pytest.raises(ValueError, match=r"weights: got shape \(2, 1, 2\), allowed \(2, 1, 3\)"):
        picture_attention(base, q, k, v, weights[..., :2], HEADS)
    with pytest.raises(ValueError, match="k: got 3 axes, allowed 4"):
        picture_attention(base, q, k[0], v, weights, HEADS)


def _model() -> onnx.ModelProto:
    """One node and the function, all sizes dynamic."""
    shapes: dict[str, list[str | int]] = {
        "base": ["B", "S", WIDTH],
        "q": ["B", "S", WIDTH],
        "k": ["B", "P", "K", WIDTH],
        "v": ["B", "P", "K", WIDTH],
        "weights": ["B", "P", "S"],
    }
    kind, domain = onnx.TensorProto.FLOAT, onnx_function.DOMAIN
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(OP_NAME, list(INPUTS), ["o"], domain=domain, heads=HEADS)
    graph = onnx.helper.make_graph(
        [node],
        "picture_attention",
        [value(name, kind, shapes[name]) for name in INPUTS],
        [value("o", kind, ["B", "S", WIDTH])],
    )
    opsets = [
        onnx.helper.make_opsetid("", onnx_function.OPSET),
        onnx.helper.make_opsetid(domain, 1),
    ]
    function = picture_attention_function()
    model = onnx.helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


Feed = dict[str, np.ndarray[Any, Any]]


def _onnxruntime() -> Callable[[Feed], Any]:
    session = onnxruntime.InferenceSession(_model().SerializeToString())
    return lambda feed: session.run(None, feed)[0]


def _openvino() -> Callable[[Feed], Any]:
    inlined = onnx.inliner.inline_local_functions(_model())
    core = openvino.Core()
    network = core.read_model(inlined.SerializeToString())
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda feed: np.array(compiled(feed)[0])


@pytest.mark.parametrize("opened", [_onnxruntime, _openvino])
def test_the_function_means_the_same(opened: Callable[[], Callable[[Feed], Any]]) -> None:
    """With pictures, of which some are weighted 0, and without any."""
    run = opened()
    for seed, sizes in enumerate([(1, 1, 1, 1), (3, 5, 2, 4), (2, 6, 3, 5), (20, 4, 1, 4)]):
        base, q, k, v, weights = random_inputs(sizes, seed)
        negative = -weights.abs()
        negative[0] = 0.0
        for used in (weights, negative, torch.zeros_like(weights)):
            inputs = (base, q, k, v, used)
            feed = {n: x.numpy() for n, x in zip(INPUTS, inputs, strict=True)}
            expected = picture_attention(*inputs, HEADS)
            got = torch.from_numpy(run(feed))
            torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=1e-5)
