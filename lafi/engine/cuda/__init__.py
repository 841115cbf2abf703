"""Shared by all engines on an NVIDIA GPU: memory, a stream, graphs, padding. Knows no model."""
