"""The plugin against NVIDIA's own bindings: registered, tuned, and compiled to PTX that assembles.

Only the registry and the shape expressions are pretended, since both live in the engine library.
"""

import importlib
import subprocess
import types
from pathlib import Path
from typing import Any

import pytest

from lafi_kernels import onnx_function
from lafi_kernels.tensorrt_plugin import (
    PLUGIN_ID,
    SMALL_TILE,
    PluginError,
    compile_kernel,
    register_attention_plugin,
    tile_choices,
)
from lafi_kernels.tensorrt_ptx import parameter_count
from lafi_kernels.tiles import HEAD_DIMS, Tile

ARGUMENTS = len(onnx_function.INPUTS) + 5 + 1
"""Inputs, the scalars B, S, R, M and S_ref, and the output."""
TILES = (Tile(32, 32, 4, 1), Tile(16, 16, 1, 1))


def small_tiles(capability: int, head_dim: int, element_bytes: int) -> tuple[Tile, ...]:
    return TILES


@pytest.fixture
def plugin(trt: types.ModuleType, registry: Any) -> Any:
    return importlib.import_module("tensorrt.plugin")


@pytest.fixture
def registered(plugin: Any) -> Any:
    """`tensorrt.plugin`'s definition of our op, registered for an sm_90."""
    register_attention_plugin(90, small_tiles)
    return plugin.op.lafi.LafiAttention


def evaluating(trt: Any, plugin: Any) -> Any:
    """A shape expression that is a number: TensorRT's own evaluates in the engine library."""
    operations = trt.DimensionOperation
    compute = {
        operations.SUM: lambda a, b: a + b,
        operations.PROD: lambda a, b: a * b,
        operations.CEIL_DIV: lambda a, b: -(-a // b),
    }

    class Size(plugin.ShapeExpr):  # type: ignore[misc]
        def __init__(self, value: int) -> None:
            super().__init__()
            self._int_expr = value

        def _op(self, op: Any, other: Any) -> Any:
            return Size(compute[op](self._int_expr, getattr(other, "_int_expr", other)))

    return Size


def described(trt: Any, plugin: Any, dtype: Any, heads: int, head_dim: int) -> list[Any]:
    """TensorDesc of each input: 3 rows of 70 tokens, 2 references, a bank of 1 x 50."""
    Size = evaluating(trt, plugin)
    width = heads * head_dim
    shapes = {
        "q": (3, 70, width),
        "k": (3, 70, width),
        "v": (3, 70, width),
        "bank_k": (1, 50, width),
        "bank_v": (1, 50, width),
        "routes": (3, 2),
        "bias": (3, 2),
        "mask": (3, 70),
        "bank_mask": (1, 50),
        "region": (3, 2, 70),
    }
    made = []
    for name in onnx_function.INPUTS:
        exprs = plugin.ShapeExprs.from_tuple(tuple(Size(size) for size in shapes[name]))
        desc = plugin.TensorDesc(exprs, trt.int32 if name == "routes" else dtype)
        desc.shape = plugin.Shape(shapes[name])
        made.append(desc)
    return made


def test_it_is_registered_under_the_functions_name(registered: Any, registry: Any) -> None:
    assert list(registry.creators) == [("LafiAttention", "1", "lafi")]
    assert registered.plugin_id == PLUGIN_ID == "lafi::LafiAttention"
    assert tuple(registered.input_tensor_names) == onnx_function.INPUTS
    assert registered.input_attrs == {"heads": int}
    assert registered.num_outputs == 1
    assert registered.impl_func is None  # nothing in Python is left to run in the engine
    (creator,) = registry.creators.values()
    assert [field.name for field in creator.field_names] == ["heads"]


def test_tensorrt_makes_an_ahead_of_time_plugin_of_it(
    trt: types.ModuleType, registered: Any, registry: Any
) -> None:
    import numpy as np

    (creator,) = registry.creators.values()
    fields = trt.PluginFieldCollection(
        [trt.PluginField("heads", np.array([8]), trt.PluginFieldType.INT64)]
    )
    made = creator.create_plugin(
        "LafiAttention",
        "lafi",
        fields,
        trt.TensorRTPhase.BUILD,
        trt.QuickPluginCreationRequest.STRICT_AOT,
    )
    assert isinstance(made, trt.IPluginV3QuickAOTBuild)
    assert made.attrs == {"heads": 8}
    types_of_inputs = [trt.float16] * 5 + [trt.int32] + [trt.float16] * 4
    ranks = [3, 3, 3, 3, 3, 2, 2, 2, 2, 3]
    assert made.get_output_data_types(types_of_inputs, ranks) == [trt.float16]


def test_a_second_registration(registered: Any, registry: Any) -> None:
    register_attention_plugin(90)
    assert len(registry.creators) == 1
    with pytest.raises(PluginError, match="capability: got 80, registered here is 90"):
        register_attention_plugin(80)


def test_types_and_tactics(trt: Any, plugin: Any, registered: Any) -> None:
    inputs = described(trt, plugin, trt.float16, 2, 40)
    combinations = [
        made
        for combination in registered.autotune_func(*inputs, 2, [inputs[0]])
        for made in combination._get_combinations()
    ]
    routes = onnx_function.INPUTS.index("routes")
    for made in combinations:
        assert made.types[routes] == trt.int32
        assert len({kind for i, kind in enumerate(made.types) if i != routes}) == 1
        assert set(made.layouts) == {trt.TensorFormat.LINEAR}
        assert (len(made.types), made.tactics) == (11, [1, 2])
    assert [made.types[0] for made in combinations] == [trt.float16, trt.bfloat16, trt.float32]


@pytest.mark.parametrize(("tactic", "tile"), [(0, TILES[0]), (1, TILES[0]), (2, TILES[1])])
def test_the_launch_follows_the_shapes(
    trt: Any,
    plugin: Any,
    registered: Any,
    tactic: int,
    tile: Tile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Constants:
        """What TensorRT sets while it asks for a launch."""

        def constant(self, value: int) -> int:
            return value

    base = next(kind for kind in plugin.SymInt32.__mro__ if "_exprBuilder" in vars(kind))
    monkeypatch.setattr(base, "_exprBuilder", Constants())
    inputs = described(trt, plugin, trt.bfloat16, 4, 40)
    name, ptx, launch, scalars = registered.aot_impl_func(*inputs, 4, [inputs[0]], tactic)
    blocks = [launch.grid_x, launch.grid_y, launch.grid_z, launch.block_x, launch.block_y]
    grid = -(-70 // tile.queries)
    assert [size._int_expr for size in blocks] == [grid, 3 * 4, 1, 32 * tile.warps, 1]
    assert [value._int_expr for value in scalars] == [3, 70, 2, 1, 50]
    assert all(isinstance(value, plugin.SymInt32) for value in scalars)
    assert launch.shared_mem._int_expr >= 0
    assert parameter_count(ptx, name) == ARGUMENTS
    assert ".target sm_90a" in ptx


def test_a_width_that_heads_do_not_divide(trt: Any, plugin: Any, registered: Any) -> None:
    inputs = described(trt, plugin, trt.float16, 2, 40)
    with pytest.raises(PluginError, match=r"heads: got 3, allowed a divisor of .* of q, 80"):
        registered.autotune_func(*inputs, 3, [])


def ptxas() -> Path:
    """The assembler that comes with Triton-lang."""
    triton: Any = importlib.import_module("triton")
    return Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"


@pytest.mark.parametrize(
    ("capability", "target", "dtype"),
    [(80, "sm_80", "float16"), (89, "sm_89", "bfloat16"), (90, "sm_90a", "float16")],
)
def test_stripped_ptx_still_assembles(
    capability: int, target: str, dtype: str, tmp_path: Path
) -> None:
    kernel = compile_kernel(capability, 2, 64, dtype, TILES[0])
    assert parameter_count(kernel.ptx, kernel.name) == ARGUMENTS
    assert kernel.threads == 32 * TILES[0].warps
    source, made = tmp_path / "kernel.ptx", tmp_path / "kernel.cubin"
    source.write_text(kernel.ptx)
    subprocess.run([ptxas(), f"-arch={target}", source, "-o", made], check=True)
    assert made.stat().st_size > 1000


@pytest.mark.parametrize("capability", [80, 90])
def test_one_choice_needs_little_shared_memory(capability: int) -> None:
    assert SMALL_TILE in tile_choices(capability, 64, 2)
    widest = compile_kernel(capability, 2, max(HEAD_DIMS), "float16", SMALL_TILE)
    assert 0 < widest.shared <= 48 * 1024
