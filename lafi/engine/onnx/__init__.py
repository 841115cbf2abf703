"""Engines on exported ONNX files, with ONNX Runtime or OpenVINO. Knows nothing of denoising."""
