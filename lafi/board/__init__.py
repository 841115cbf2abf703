"""What is to be drawn: storyboards, their limits, checks and files.

Knows no model, no tensor and no server; loads no torch.
"""
