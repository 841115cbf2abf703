"""Engines of one protocol: torch modules, or ONNX on the CPU."""
