"""The loop: which rows of which panels go into the next denoiser call.

Knows no prompts, pictures or files.
"""
