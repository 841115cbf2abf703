"""Draws storyboards whose characters look the same in every panel."""
