"""The denoiser's inputs."""

NOWHERE = -1
"""Route that reads nothing."""
