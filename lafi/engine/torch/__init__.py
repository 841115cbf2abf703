"""Engines on a diffusers checkpoint in torch. Knows nothing of denoising."""
