"""Finished panels by content address, kept until there is no room for them.

Knows bytes and files, neither storyboards, models nor streams.
"""
