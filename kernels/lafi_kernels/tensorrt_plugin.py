"""The attention op as a TensorRT plugin: the Triton-lang kernel, compiled at engine build.

It has the name and namespace of the ONNX function `lafi::LafiAttention`, so TensorRT's parser
uses it instead of the function. The engine contains the kernel's PTX and needs no Python.
Knows TensorRT's plugin interface and how the kernel is launched, not what it computes.

Importing this module imports neither TensorRT nor Triton-lang.
"""

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lafi_kernels.onnx_function import DOMAIN, INPUTS, OP_NAME
from lafi_kernels.tensorrt_module import import_tensorrt, import_tensorrt_plugin
from lafi_kernels.tensorrt_ptx import required_threads, without_scratch_pointers
from lafi_kernels.tiles import Tile, fixed_tile

PLUGIN_ID: Final = f"{DOMAIN}::{OP_NAME}"
HEADS: Final = "heads"
"""The node's one attribute."""

SMALL_TILE: Final = Tile(queries=64, keys=32, warps=4, stages=1)
"""In 16 bits it fits the 48 KiB of shared memory that every kernel may use by default."""

# A type's names in TensorRT, in AutoTuneCombination and in torch, and its size in bytes.
_FLOATS: Final = (
    ("HALF", "FP16", "float16", 2),
    ("BF16", "BF16", "bfloat16", 2),
    ("FLOAT", "FP32", "float32", 4),
)
# The oldest PTX version that supports the GPU, so that every driver can load it.
_PTX_VERSION: Final = 80
_PTX_VERSION_FROM_100: Final = 86

Tiles = Callable[[int, int, int], tuple[Tile, ...]]
"""(capability, head width, bytes per element) -> candidate tiles, the best guess first."""


class PluginError(RuntimeError):
    """The plugin cannot be registered or compiled as asked; the text says why."""


@dataclass(frozen=True, slots=True)
class AotKernel:
    """A compiled kernel for TensorRT: its only parameters are inputs, int32 scalars and outputs.

    threads: per block. shared: bytes of dynamic shared memory.
    """

    name: str
    ptx: str
    threads: int
    shared: int


def tile_choices(capability: int, head_dim: int, element_bytes: int) -> tuple[Tile, ...]:
    """The GPU's fixed tile, and one that needs little shared memory."""
    return fixed_tile(capability, head_dim, element_bytes), SMALL_TILE


def register_attention_plugin(capability: int, tiles: Tiles = tile_choices) -> None:
    """Register `lafi::LafiAttention` in TensorRT's plugin registry of this process.

    capability: of the GPU that the engine is built for, major * 10 + minor; kernels are compiled
    for it. tiles: candidates; TensorRT times them during the build and takes the fastest. A second
    call for the same GPU does nothing. Raises TensorRTMissing, and PluginError for a second GPU.
    """
    trt, plugin = import_tensorrt(), import_tensorrt_plugin()
    known = _registered(plugin)
    if known is not None:
        built_for = getattr(known.aot_impl_func, "capability", None)
        if built_for != capability:
            raise PluginError(f"capability: got {capability}, registered here is {built_for}")
        return
    desc = plugin.TensorDesc

    def describe(*arguments: Any, **attributes: Any) -> Any:
        """The output: shape and type of q."""
        return arguments[0].like()

    def choose(*arguments: Any) -> Any:
        """The allowed combinations of types, each with its tiles as tactics 1, 2, ..."""
        head_dim = _head_dim(arguments[0], arguments[len(INPUTS)])
        return [
            plugin.AutoTuneCombination(
                ",".join("INT32" if name == "routes" else kind for name in (*INPUTS, "o")),
                "LINEAR",
                list(range(1, len(tiles(capability, head_dim, size)) + 1)),
            )
            for _, kind, _, size in _FLOATS
        ]

    def compile_ahead(*arguments: Any) -> Any:
        """Kernel name, PTX, launch and scalars for the given types and widths."""
        inputs, heads = dict(zip(INPUTS, arguments, strict=False)), arguments[len(INPUTS)]
        (kind,) = (kind for kind in _FLOATS if inputs["q"].dtype == getattr(trt.DataType, kind[0]))
        head_dim = _head_dim(inputs["q"], heads)
        chosen = tiles(capability, head_dim, kind[3])
        tile = chosen[max(arguments[-1], 1) - 1]
        kernel = compile_kernel(capability, heads, head_dim, kind[2], tile)
        launch, scalars = _launch(plugin, inputs, heads, tile, kernel)
        return kernel.name, kernel.ptx, launch, scalars

    compile_ahead.capability = capability  # type: ignore[attr-defined]
    kinds = (str, str, plugin.KernelLaunchParams, plugin.SymIntExprs)
    answer = types.GenericAlias(tuple, kinds)
    plugin.register(PLUGIN_ID)(_signed(describe, desc, (), desc))
    plugin.autotune(PLUGIN_ID)(_signed(choose, desc, ("outputs",), inspect.Signature.empty))
    plugin.aot_impl(PLUGIN_ID)(_signed(compile_ahead, desc, ("outputs", "tactic"), answer))


def compile_kernel(capability: int, heads: int, head_dim: int, dtype: str, tile: Tile) -> AotKernel:
    """Compile the fused kernel for a GPU; no GPU is needed.

    dtype: torch's name for the type of all floating tensors. Raises PtxError for a kernel that
    reads scratch memory, because TensorRT provides none.
    """
    import torch

    from lafi_kernels.ptx import compile_attention
    from lafi_kernels.triton_lang import INPUTS as POINTERS
    from lafi_kernels.triton_lang import OUTPUTS, SCALARS

    kind = getattr(torch, dtype)
    compiled = compile_attention(
        capability,
        heads,
        head_dim,
        kind,
        weights=kind,
        tile=tile,
        ptx_version=_PTX_VERSION if capability < 100 else _PTX_VERSION_FROM_100,
    )
    arguments = len(POINTERS) + len(SCALARS) + len(OUTPUTS)
    return AotKernel(
        name=compiled.name,
        ptx=without_scratch_pointers(compiled.ptx, compiled.name, arguments),
        threads=required_threads(compiled.ptx),
        shared=compiled.shared_bytes,
    )


def _launch(
    plugin: Any, inputs: dict[str, Any], heads: int, tile: Tile, kernel: AotKernel
) -> tuple[Any, Any]:
    """Grid and scalars as expressions over the input shapes, as in `triton_lang.grid`."""
    rows, tokens, _ = inputs["q"].shape_expr
    launch = plugin.KernelLaunchParams()
    launch.grid_x = plugin.cdiv(tokens, tile.queries)
    launch.grid_y = rows * heads
    launch.block_x = kernel.threads
    launch.shared_mem = kernel.shared
    bank_rows, bank_tokens, _ = inputs["bank_k"].shape_expr
    values = (rows, tokens, inputs["routes"].shape_expr[1], bank_rows, bank_tokens)
    scalars = plugin.SymIntExprs(len(values))
    for i, value in enumerate(values):
        scalars[i] = value
    return launch, scalars


def _head_dim(q: Any, heads: int) -> int:
    width = int(q.shape[2])
    if heads < 1 or width < 1 or width % heads:
        raise PluginError(f"heads: got {heads}, allowed a divisor of the fixed width of q, {width}")
    return width // heads


def _registered(plugin: Any) -> Any:
    """Our op as registered in `tensorrt.plugin`, or None."""
    namespace = vars(plugin.op).get(DOMAIN)
    return None if namespace is None else vars(namespace).get(OP_NAME)


def _signed(
    function: Callable[..., Any], desc: Any, more: tuple[str, ...], returns: Any
) -> Callable[..., Any]:
    """The function, given the signature that `tensorrt.plugin` needs: inputs, heads, `more`."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, annotation=desc) for name in INPUTS]
    parameters.append(inspect.Parameter(HEADS, kind, annotation=int))
    parameters.extend(inspect.Parameter(name, kind) for name in more)
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=returns
    )
    return function
