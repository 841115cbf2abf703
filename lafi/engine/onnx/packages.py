"""The runtimes' packages, loaded so that they report to nobody.

Knows how each is silenced, not what it runs. ONNX Runtime's wheels (1.29 and later) send what they
open, graph names too, to their makers; OpenVINO's send that they were imported.
"""

import os
import sys
from typing import Any, Final

NO_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"
"""The environment variable that ONNX Runtime heeds once, when it is loaded."""
_OPENVINO_REPORTER: Final = "openvino_telemetry"
"""A package of its own, without which OpenVINO falls back to one that does nothing."""


def onnxruntime_package() -> Any:
    """The module `onnxruntime`. Who wants its reports sets ORT_DISABLE_TELEMETRY to 0."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    return onnxruntime


def openvino_package() -> Any:
    """The module `openvino`."""
    if "openvino" not in sys.modules:
        sys.modules[_OPENVINO_REPORTER] = None  # type: ignore[assignment]
    import openvino

    return openvino
