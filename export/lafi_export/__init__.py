"""Exports a diffusers checkpoint to ONNX engines, a model repository and a parity report."""

from lafi_export.parity_report import ParityError, ParityReport
from lafi_export.repository import ExportError, export_checkpoint

__all__ = ["ExportError", "ParityError", "ParityReport", "export_checkpoint"]
