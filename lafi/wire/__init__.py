"""The wire format: storyboards and events as tensors, and the served models' tensors.

Knows no drawing; loads no torch.
"""
