"""From the text of a novel to a storyboard, in steps that a person can read, edit and go on from.

Sees `lafi.board` only. Knows no server, no model, and no pictures but those in `lafi_story.pages`.
"""
