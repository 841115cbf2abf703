"""Storyboards, events and tensors as they travel, and the served models' tensors.

Knows no drawing; loads no torch.
"""
