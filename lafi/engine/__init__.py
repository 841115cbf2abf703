"""Implementations of `lafi.ports`, one folder for each runtime. Knows nothing of denoising."""
