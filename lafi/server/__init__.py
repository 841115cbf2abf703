"""Triton Server as a process: found, started, watched, stopped.

Knows no storyboard and no tensor.
"""
