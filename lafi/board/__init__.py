"""Storyboards: their types, limits, checks and files.

Knows no model, no tensor and no server; loads no torch.
"""
