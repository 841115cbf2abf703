"""The package `tensorrt`, imported only when something asks for it.

Knows where TensorRT comes from and which version our code was written for, nothing more.
"""

import importlib
from typing import Any, Final

WRITTEN_FOR: Final = "11"
"""Major version whose names and rules the code follows: always strongly typed, AOT plugins."""


class TensorRTMissing(ImportError):
    """TensorRT cannot be imported, or is of another major version; the text says what to do."""


def import_tensorrt() -> Any:
    """The module `tensorrt`. Raises TensorRTMissing.

    Its type is Any: the package has no stubs, and machines without a GPU do not have it.
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
