"""Every form of the attention op on every case of one table, and torch's own checks of the op."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import onnx.inliner
import onnxruntime
import openvino
import pytest
import torch
from torch import Tensor, nn

from lafi_kernels import onnx_function
from lafi_kernels.reference import attention

FOLDER = Path(__file__).parent


def _load(name: str) -> ModuleType:
    """A module beside this file: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


table = _load("cases")
every_case = pytest.mark.parametrize("case", table.CASES, ids=table.name_of)
# The CPU providers of ONNX Runtime and OpenVINO have no kernels for bf16 tensors.
onnx_cases = pytest.mark.parametrize(
    "case", [c for c in table.CASES if c.dtype != torch.bfloat16], ids=table.name_of
)
BODIES: dict[str, Callable[[], onnx.FunctionProto]] = {
    "branches": onnx_function.attention_function,
    "operator": onnx_function.operator_function,
}
bodies = pytest.mark.parametrize("body", list(BODIES))

FLOATS = {torch.float32: onnx.TensorProto.FLOAT, torch.float16: onnx.TensorProto.FLOAT16}


def build_model(case: Any, body: str) -> onnx.ModelProto:
    """One node and the function, every size but the width dynamic, so that no shape is special."""
    width = case.heads * case.head_dim
    shapes: dict[str, list[str | int]] = {
        "q": ["B", "S", width],
        "k": ["B", "S", width],
        "v": ["B", "S", width],
        "bank_k": ["M", "T", width],
        "bank_v": ["M", "T", width],
        "routes": ["B", "R"],
        "bias": ["B", "R"],
        "mask": ["B", "S"],
        "bank_mask": ["M", "T"],
        "region": ["B", "R", "S"],
    }
    floats, helper = FLOATS[case.dtype], onnx.helper
    function = BODIES[body]()
    inputs = [
        helper.make_tensor_value_info(
            name, onnx.TensorProto.INT32 if name == "routes" else floats, shapes[name]
        )
        for name in onnx_function.INPUTS
    ]
    node = helper.make_node(
        onnx_function.OP_NAME,
        list(onnx_function.INPUTS),
        ["o"],
        domain=onnx_function.DOMAIN,
        heads=case.heads,
    )
    output = helper.make_tensor_value_info("o", floats, ["B", "S", width])
    return helper.make_model(
        helper.make_graph([node], "attention", inputs, [output]),
        opset_imports=[
            *function.opset_import,
            helper.make_opsetid(onnx_function.DOMAIN, onnx_function.DOMAIN_VERSION),
        ],
        functions=[function],
        ir_version=10,
    )


def feed_of(case: Any) -> dict[str, Any]:
    tensors = zip(onnx_function.INPUTS, table.build(case).values(), strict=True)
    return {n: (x if n == "routes" else x.to(case.dtype)).numpy() for n, x in tensors}


def call(function: Callable[..., Tensor], case: Any) -> Tensor:
    arguments = table.build(case)
    return function(*arguments.values(), arguments.heads)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Outputs of the Triton-lang kernel under the interpreter, by case."""
    file = tmp_path_factory.mktemp("interpreted") / "outputs.pt"
    ran = subprocess.run(
        [sys.executable, str(FOLDER / "interpreted.py"), str(file)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    names = [table.name_of(case) for case in table.CASES]
    return dict(zip(names, torch.load(file), strict=True))


def test_the_table_holds_what_it_promises() -> None:
    cases = table.CASES
    names = [table.name_of(case) for case in cases]
    assert sorted(names) == sorted(set(names))
    assert {case.head_dim for case in cases} >= {40, 64, 80, 128, 160}
    assert {len(case.routes[0]) for case in cases} == {0, 1, 2, 3}
    assert {case.dtype for case in cases} == {torch.float32, torch.float16, torch.bfloat16}
    assert {case.tokens % 16 for case in cases} >= {0, 1}
    assert any(0 < case.bank_tokens < case.tokens for case in cases)
    assert any(case.bank_tokens > case.tokens for case in cases)


@every_case
def test_the_torch_reference(case: Any) -> None:
    table.check(case, call(attention, case))


@every_case
def test_the_triton_lang_kernel_in_its_interpreter(
    interpreted: dict[str, Tensor], case: Any
) -> None:
    table.check(case, interpreted[table.name_of(case)])


@bodies
@onnx_cases
def test_the_onnx_function_in_onnx_runtime(case: Any, body: str) -> None:
    model = build_model(case, body)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    table.check(case, torch.from_numpy(session.run(None, feed_of(case))[0]))


@bodies
@onnx_cases
def test_the_onnx_function_in_openvino(case: Any, body: str) -> None:
    core = openvino.Core()
    inlined = onnx.inliner.inline_local_functions(build_model(case, body))
    compiled = core.compile_model(
        core.read_model(inlined.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    table.check(case, torch.from_numpy(compiled(feed_of(case))[0].copy()))


def test_the_body_for_gpus_has_no_branches() -> None:
    operators = {name: {node.op_type for node in made().node} for name, made in BODIES.items()}
    assert "If" in operators["branches"]
    assert not {"If", "Loop", "Scan"} & operators["operator"]
    assert not {"MatMul", "Softmax"} & operators["operator"]


class _Attention(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, *tensors: Tensor) -> Tensor:
        return attention(*tensors, self.heads) * 2.0


TRACED = next(case for case in table.CASES if case.name == "longer bank")


def test_opcheck_accepts_the_op() -> None:
    arguments = table.build(TRACED)
    outcome = torch.library.opcheck(attention, (*arguments.values(), arguments.heads))
    assert set(outcome.values()) == {"SUCCESS"}


def test_torch_export_keeps_the_op_as_one_node() -> None:
    arguments = table.build(TRACED)
    exported = torch.export.export(_Attention(arguments.heads), arguments.values())
    targets = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    assert targets.count(torch.ops.lafi.attention.default) == 1
    result = exported.module()(*arguments.values())
    torch.testing.assert_close(result, 2.0 * call(attention, TRACED))


def test_torch_compile_traces_it_without_a_break() -> None:
    arguments = table.build(TRACED)
    compiled = torch.compile(_Attention(arguments.heads), backend="aot_eager", fullgraph=True)
    result = compiled(*arguments.values())
    torch.testing.assert_close(result, 2.0 * call(attention, TRACED))
