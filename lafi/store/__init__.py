"""Finished panels by content address, kept until there is no room for them.

Knows no storyboard, no model and no stream: bytes and files alone.
"""
