"""Noise models, schedules, samplers, guidance and step reuse.

Knows one picture's latents, not who else is drawn.
"""
