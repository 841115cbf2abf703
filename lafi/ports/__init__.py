"""What the core asks of engines: protocols, the denoiser's inputs, bank entries.

Knows no runtime.
"""
