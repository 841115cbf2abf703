"""What engines on an NVIDIA GPU share: memory, a stream, graphs, padding. Knows no model."""
