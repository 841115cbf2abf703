"""Imports the package `tensorrt` on demand.

Knows only where TensorRT comes from and which version our code needs.
"""

import importlib
from typing import Any, Final

WRITTEN_FOR: Final = "11"
"""The major version that our code is written for: always strongly typed, AOT plugins."""


class TensorRTMissing(ImportError):
    """TensorRT cannot be imported, or is of another major version; the text says what to do."""


def import_tensorrt() -> Any:
    """The module `tensorrt`. Raises TensorRTMissing.

    Its type is Any, as it has no stubs and is not installed on machines without a GPU.
    """
    try:
        tensorrt = importlib.import_module("tensorrt")
    except ImportError as error:
        raise TensorRTMissing(
            f"tensorrt: cannot be imported ({error}); on a machine with an NVIDIA GPU install it "
            "with: pip install 'lafi[gpu]'"
        ) from error
    version = str(tensorrt.__version__)
    if version.split(".")[0] != WRITTEN_FOR:
        raise TensorRTMissing(f"tensorrt: got version {version}, allowed {WRITTEN_FOR}.x")
    return tensorrt


def import_tensorrt_plugin() -> Any:
    """The module `tensorrt.plugin`. Raises TensorRTMissing."""
    import_tensorrt()
    return importlib.import_module("tensorrt.plugin")
