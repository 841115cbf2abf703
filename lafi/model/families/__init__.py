"""Kinds of denoisers, one file each, and the registry that finds them by name.

Knows configs and sizes; loads no torch.
"""
