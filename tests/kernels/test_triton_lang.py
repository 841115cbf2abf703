"""What surrounds the Triton-lang kernel: argument checks, when it is loaded, who it serves."""

import importlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from lafi_kernels.arguments import check_shapes
from lafi_kernels.tiles import Tile
from lafi_kernels.triton_lang import (
    INPUTS,
    OUTPUTS,
    SCALARS,
    attention_triton_lang,
    constants,
    grid,
    lafi_attention_kernel,
)

WIDTH = 32


def arguments() -> dict[str, Tensor]:
    return {
        "q": torch.ones(2, 3, WIDTH),
        "k": torch.ones(2, 3, WIDTH),
        "v": torch.ones(2, 3, WIDTH),
        "bank_k": torch.ones(1, 4, WIDTH),
        "bank_v": torch.ones(1, 4, WIDTH),
        "routes": torch.tensor([[-1], [2]], dtype=torch.int32),
        "bias": torch.zeros(2, 1),
        "mask": torch.ones(2, 3),
        "bank_mask": torch.ones(1, 4),
        "region": torch.ones(2, 1, 3),
    }


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("k", (2, 4, WIDTH), r"k: got shape \(2, 4, 32\), expected \(2, 3, 32\)"),
        ("v", (1, 3, WIDTH), r"v: got shape \(1, 3, 32\), expected \(2, 3, 32\)"),
        ("bank_k", (1, 4, 16), r"bank_k: got shape \(1, 4, 16\), expected \(1, 4, 32\)"),
        ("bank_v", (1, 5, WIDTH), r"bank_v: got shape \(1, 5, 32\), expected \(1, 4, 32\)"),
        ("bias", (2, 2), r"bias: got shape \(2, 2\), expected \(2, 1\)"),
        ("bank_mask", (1, 3), r"bank_mask: got shape \(1, 3\), expected \(1, 4\)"),
    ],
)
def test_a_wrong_shape_is_named(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_shapes(**(arguments() | {name: torch.ones(shape)}), heads=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v": torch.ones(2, 3, WIDTH).half()}, r"v: got torch.float16, allowed that of q"),
        ({"q": torch.ones(2, 3, WIDTH).double()}, r"q: got torch.float64, allowed torch.float16"),
        ({"routes": torch.zeros(2, 1).long()}, r"routes: got torch.int64, allowed torch.int32"),
    ],
)
def test_a_wrong_dtype_is_named(changes: dict[str, Tensor], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        attention_triton_lang(**(arguments() | changes), heads=2)


def test_the_kernel_takes_inputs_then_scalars_then_the_output() -> None:
    """The order that a TensorRT plugin passes them in; constants come after."""
    fixed = constants(2, 64, torch.float16, Tile(64, 32, 4, 2))
    assert tuple(lafi_attention_kernel.arg_names) == (*INPUTS, *SCALARS, *OUTPUTS, *fixed)


def test_the_grid_covers_every_query_of_every_head_once() -> None:
    assert grid(rows=3, tokens=129, heads=5, tile=Tile(64, 32, 4, 2)) == (3, 15, 1)
    assert grid(rows=1, tokens=64, heads=1, tile=Tile(64, 32, 4, 2)) == (1, 1, 1)


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stderr == ""
    return ran.stdout.strip()


def test_the_reference_runs_where_there_is_no_triton_lang() -> None:
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from lafi_kernels.reference import attention\n"
        "x, w = torch.ones(1, 2, 4), torch.ones(1, 2)\n"
        "routes = torch.zeros(1, 1, dtype=torch.int32)\n"
        "o = attention(x, x, x, x[:0], x[:0], routes, w[:, :1], w, w[:0], w[:, None], 2)\n"
        "print(torch.equal(o, x), 'lafi_kernels.triton_lang' in sys.modules)"
    )
    assert run(code) == "True False"


def test_cuda_tensors_get_the_kernel_and_others_keep_the_reference() -> None:
    importlib.import_module("lafi_kernels.cuda")
    own = {
        device: torch._C._dispatch_has_kernel_for_dispatch_key("lafi::attention", device)
        for device in ("CUDA", "CPU")
    }
    assert own == {"CUDA": True, "CPU": False}
