"""Engines on TensorRT plans. Knows nothing of denoising."""
