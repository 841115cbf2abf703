"""Facts about a checkpoint without loading it: sizes, layers, presets, files and hashes.

Knows no runtime; loads no torch.
"""
