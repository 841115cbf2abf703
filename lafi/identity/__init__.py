"""Recognises characters in pictures: enrols them and finds them again.

Knows no drawing.
"""
