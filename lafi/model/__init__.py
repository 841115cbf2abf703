"""What a checkpoint is, without loading it: sizes, layers, presets, files and hashes.

Knows no runtime; loads no torch.
"""
