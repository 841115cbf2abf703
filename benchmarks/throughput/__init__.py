"""Panels per second of LAFI and of other ways to draw the same storyboards, in one run."""
