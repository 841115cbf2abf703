"""Measures what each self-attention of a checkpoint does to its pictures.

Knows torch networks and pictures. Knows nothing of servers and exports.
"""
