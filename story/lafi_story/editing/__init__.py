"""A wish in words to a changed panel of a storyboard, and prompts in a model's own words.

Knows no novel, no server and no pictures; the storyboard's file it changes by its text.
"""
