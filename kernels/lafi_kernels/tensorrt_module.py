"""Imports TensorRT or TensorRT-RTX on demand.

Knows only where each is found and which version our code needs.
"""

import ctypes
import importlib
from pathlib import Path
from typing import Any, Final, Literal

Builder = Literal["tensorrt", "tensorrt-rtx"]
"""Who builds and runs plans: TensorRT for the GPU at hand, or TensorRT-RTX for GPUs elsewhere."""

WRITTEN_FOR: Final = "11"
"""The major version that our code is written for: always strongly typed, AOT plugins."""
RTX_WRITTEN_FOR: Final = "1"

_RTX_LIBRARIES: Final = ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1")


class TensorRTMissing(ImportError):
    """TensorRT cannot be imported, or is of another major version; the text says what to do."""


def import_builder(builder: Builder) -> Any:
    """The module of either, with one set of classes. Raises TensorRTMissing.

    Its type is Any, as it has no stubs and need not be installed.
    """
    return import_tensorrt_rtx() if builder == "tensorrt-rtx" else import_tensorrt()


def import_tensorrt() -> Any:
    """The module `tensorrt`. Raises TensorRTMissing."""
    try:
        tensorrt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise TensorRTMissing(
            f"tensorrt: cannot be imported ({error}); on a machine with an NVIDIA GPU install it "
            "with: pip install 'lafi[gpu]'"
        ) from error
    return _checked("tensorrt", tensorrt, WRITTEN_FOR)


def import_tensorrt_rtx() -> Any:
    """The bindings of TensorRT-RTX, which builds without a GPU. Raises TensorRTMissing."""
    try:
        # In this order, since the second wants the first. Not global: TensorRT's functions have the
        # same names, and both may be in one process.
        folder = Path(str(importlib.import_module("tensorrt_rtx_libs").__file__)).parent
        for name in _RTX_LIBRARIES:
            ctypes.CDLL(str(folder / name))
        bindings = importlib.import_module("tensorrt_rtx_bindings")
    except (ImportError, OSError) as error:
        raise TensorRTMissing(
            f"tensorrt-rtx: cannot be imported ({error}); install it with: pip install 'lafi[rtx]'"
        ) from error
    return _checked("tensorrt-rtx", bindings, RTX_WRITTEN_FOR)


def import_tensorrt_plugin() -> Any:
    """The module `tensorrt.plugin`. Raises TensorRTMissing."""
    import_tensorrt()
    return importlib.import_module("tensorrt.plugin")


def _checked(name: str, module: Any, major: str) -> Any:
    version = str(module.__version__)
    if version.split(".")[0] != major:
        raise TensorRTMissing(f"{name}: got version {version}, allowed {major}.x")
    return module
