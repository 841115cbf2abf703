"""Drawn panels to the pages of a comic: layout, balloons, captions, and the files.

Sees `lafi.board` and, of the story, its steps. Knows no planner, no model and no server.
"""
