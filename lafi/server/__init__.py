"""The processes of a server: found, started, watched, started again, stopped.

Knows no storyboard and no tensor.
"""
