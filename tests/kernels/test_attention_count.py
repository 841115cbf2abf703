"""The figures of docs/attention.md are those that benchmarks/attention.py counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
import torch

from benchmarks import attention as measured
from benchmarks import attention_count as counts
from lafi_kernels import onnx_function
from lafi_kernels.reference import attention

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_table_that_is_counted() -> None:
    page = (ROOT / "docs/attention.md").read_text(encoding="utf-8")
    assert counts.count_table() in page
    assert counts.body_table() in page


def test_counts_of_one_small_layer_are_right_by_hand() -> None:
    layer = counts.LayerClass("small", tokens=4, heads=2, head_dim=8, layers=3, injected=1)
    counted = counts.count(layer, panels=2, guidance=True)
    # 4 rows read; a row's keys and values are 2 tensors of 4 x 16 elements of 2 bytes.
    assert counted.own == 4 * 256
    assert counted.reference == 256
    assert counted.copied == 4 * 512
    assert counted.touched == 3 * 5 * 512
    # Two products of 4 x 4 x 16, each multiplication with its sum.
    assert counted.plain == 3 * 5 * 2 * 2 * 4 * 4 * 16
    assert counted.added == 4 * 2 * 2 * 4 * 4 * 16
    summed = counts.total([counted, counted])
    assert (summed.own, summed.added) == (2 * counted.own, 2 * counted.added)


COPIES = {
    "joined": ("lafi_pool_k", "lafi_pool_v"),
    "gathered": ("lafi_all_k4", "lafi_all_v4"),
    "mask": ("lafi_offset",),
}
"""Tensors of the body, by what they count as."""


def test_the_body_writes_what_is_counted() -> None:
    layer = counts.LayerClass("small", tokens=4, heads=2, head_dim=8, layers=1, injected=1)
    names = [name for group in COPIES.values() for name in group]
    flat = {"routes": "int32", "bias": "float", "mask": "float", "bank_mask": "float"}
    inputs = ", ".join(
        f"{flat[name]}[?, ?] {name}" if name in flat else f"float[?, ?, ?] {name}"
        for name in onnx_function.INPUTS
    )
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {onnx_function.OPERATOR_OPSET}, "lafi" : 1]>\n'
        f"g ({inputs}) => (float o) {{ o = lafi.LafiAttention <heads = 2> "
        f"({', '.join(onnx_function.INPUTS)}) }}"
    )
    model.functions.append(onnx_function.operator_function())
    model = onnx.inliner.inline_local_functions(model)
    made = {output for node in model.graph.node for output in node.output}
    # An inliner may give them a suffix.
    found = {name: next(v for v in made if v.startswith(name)) for name in names}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(v, onnx.TensorProto.FLOAT, None) for v in found.values()
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    tensors = measured.make_tensors(layer, panels=2, device="cpu")
    feed = {
        name: x.numpy() if x.dtype == torch.int32 else x.float().numpy()
        for name, x in zip(onnx_function.INPUTS, tensors, strict=True)
    }
    outputs = dict(zip(found, session.run([*found.values()], feed), strict=True))
    counted = counts.body_count(layer, panels=2, guidance=False)
    for part, group in COPIES.items():
        elements = sum(np.asarray(outputs[name]).size for name in group)
        assert getattr(counted, part) == elements * counts.BYTES, part


def test_the_layer_classes_are_those_of_the_architectures() -> None:
    assert (sum(c.layers for c in counts.SDXL), sum(c.injected for c in counts.SDXL)) == (70, 36)
    # SD1.5 has a 16th layer, of 64 tokens in the middle block, too small to be worth a row.
    assert (sum(c.layers for c in counts.SD15), sum(c.injected for c in counts.SD15)) == (15, 9)


def test_what_is_compared_computes_the_same() -> None:
    layer = counts.LayerClass("small", tokens=5, heads=2, head_dim=8, layers=1, injected=1)
    tensors = measured.make_tensors(layer, panels=3, device="cpu")
    read = attention(*tensors, layer.heads)
    alone = attention(*tensors[:5], torch.full_like(tensors[5], -1), *tensors[6:], layer.heads)
    # Two roundings of bf16 lie between the two.
    torch.testing.assert_close(measured.joined(tensors, layer.heads), read, rtol=0, atol=2e-2)
    torch.testing.assert_close(measured.plain(tensors, layer.heads), alone, rtol=0, atol=2e-2)
    assert float((read - alone)[:-1].abs().max()) > 0.1
    wide = [x.float() if x.is_floating_point() else x for x in tensors]
    ends = measured._on_cpu(wide, layer.heads)
    torch.testing.assert_close(ends, read[[3, 0]].float(), rtol=0, atol=2e-2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure for minutes")
def test_without_a_gpu_it_says_so_and_ends_with_code_2() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.attention"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert ran.stderr.strip() == (
        "no CUDA device: nothing can be measured here; --count needs none"
    )
