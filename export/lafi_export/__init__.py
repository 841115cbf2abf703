"""Exports a diffusers checkpoint to ONNX engines, a model repository and a parity report.

Its names are imported when they are first asked for: torch and diffusers take seconds, and parts
of this package need neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lafi_export.parity_report import ParityError, ParityReport
    from lafi_export.repository import ExportError, export_checkpoint

__all__ = ["ExportError", "ParityError", "ParityReport", "export_checkpoint"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "parity_report" if name.startswith("Parity") else "repository"
    return getattr(import_module(f"{__name__}.{module}"), name)
