"""Storyboard to finished panels: encode, denoise, decode, score, describe.

Knows no gRPC and no Triton Server.
"""
