"""Who is in a picture: the recogniser, who is enrolled, what is asked of them.

Knows no drawing.
"""
