"""What TensorRT is given in place of an exported file: the body without a branch, equal numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from lafi_export.attention_op import with_attention_function
from lafi_export.onnx_export import Graph, export_graph
from lafi_export.tensorrt_graph import GraphChange, attention_nodes, write_graph
from lafi_kernels import onnx_function

ROWS, TOKENS, WIDTH, SLOTS = 3, 5, 16, 2
INPUTS = ("hidden", "routes", "bias", "mask", "region")


class TwoLayers(nn.Module):
    """Projections and the op, with two heads and with four."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.projections = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))

    def forward(
        self, hidden: Tensor, routes: Tensor, bias: Tensor, mask: Tensor, region: Tensor
    ) -> Tensor:
        for layer, heads in enumerate((2, 4)):
            q, k, v = self.projections[layer](hidden).chunk(3, dim=2)
            read = torch.ops.lafi.attention(
                q, k, v, k[:0], v[:0], routes[layer], bias, mask, mask[:0], region, heads
            )
            hidden = hidden + read
        return hidden


def inputs(routed: bool) -> tuple[Tensor, ...]:
    gen = torch.Generator().manual_seed(1)
    routes = torch.full((2, ROWS, SLOTS), -1, dtype=torch.int32)
    if routed:
        routes[0, 0, 0], routes[1, 1, 1], routes[1, 0, 0] = 2, 0, 1
    return (
        torch.randn(ROWS, TOKENS, WIDTH, generator=gen),
        routes,
        torch.randn(ROWS, SLOTS, generator=gen),
        torch.rand(ROWS, TOKENS, generator=gen).round(decimals=1),
        torch.rand(ROWS, SLOTS, TOKENS, generator=gen).round(decimals=1),
    )


@pytest.fixture(scope="module")
def module() -> TwoLayers:
    return TwoLayers().eval()


@pytest.fixture(scope="module")
def exported(module: TwoLayers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "layers.onnx"
    example = dict(zip(INPUTS, inputs(routed=True), strict=True))
    fixed: dict[str, dict[int, Any]] = {name: {} for name in INPUTS}
    export_graph(Graph(path.name, module, example, fixed, ("out",)), path, weights=())
    return path


def operators(path: Path) -> set[str]:
    """Of the body alone."""
    (body,) = onnx.load(path).functions
    return {node.op_type for node in body.node}


def run(path: Path, feed: tuple[Tensor, ...]) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    named = zip(INPUTS, feed, strict=True)
    return session.run(None, {name: tensor.numpy() for name, tensor in named})[0]


def test_nodes_ask_for_the_plugin_and_carry_a_body_without_a_branch(
    exported: Path, tmp_path: Path
) -> None:
    target = tmp_path / "gpu.onnx"
    assert "If" in operators(exported)
    assert write_graph(exported, target, GraphChange("f32")) == 2
    assert "If" not in operators(target)
    asking = [
        "plugin_namespace" in {attribute.name for attribute in node.attribute}
        for node in attention_nodes(onnx.load(target))
    ]
    assert asking == [True] * 2
    onnx.checker.check_model(target)


def test_without_the_plugin_the_body_stands_in_its_place(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "gpu.onnx"
    assert write_graph(exported, target, GraphChange("f32", plugin=False)) == 2
    model = onnx.load(target)
    assert len(model.functions) == 0
    assert [node.op_type for node in model.graph.node].count("Attention") == 2
    onnx.checker.check_model(target, full_check=True)


@pytest.mark.parametrize("plugin", [True, False])
def test_every_node_has_a_name_of_its_own(exported: Path, tmp_path: Path, plugin: bool) -> None:
    target = tmp_path / "gpu.onnx"
    write_graph(exported, target, GraphChange("f16", plugin=plugin))
    names = [node.name for node in onnx.load(target).graph.node]
    assert all(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("routed", [True, False])
@torch.no_grad()
def test_both_bodies_give_torchs_numbers(
    module: TwoLayers, exported: Path, tmp_path: Path, routed: bool
) -> None:
    target = tmp_path / "gpu.onnx"
    write_graph(exported, target, GraphChange("f32", plugin=False))
    feed = inputs(routed)
    wanted = module(*feed).numpy()
    for path in (exported, target):
        np.testing.assert_allclose(run(path, feed), wanted, atol=2e-6, rtol=0)


def test_a_model_gets_one_body(exported: Path) -> None:
    model = onnx.load(exported)
    for wanted in (onnx_function.operator_function(), onnx_function.attention_function()):
        assert with_attention_function(model, wanted) is model
        (body,) = model.functions
        assert body == wanted


def test_a_graph_without_attention_gets_no_body(tmp_path: Path) -> None:
    source, target = tmp_path / "plain.onnx", tmp_path / "gpu.onnx"
    text = '<ir_version: 10, opset_import: ["": 18]> g (float[N] x) => (float[N] y) { y = Neg(x) }'
    onnx.save(onnx.parser.parse_model(text), source)
    assert write_graph(source, target, GraphChange("f32")) == 0
    assert len(onnx.load(target).functions) == 0
