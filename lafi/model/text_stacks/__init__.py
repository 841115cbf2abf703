"""Kinds of text stacks, one file each.

Knows configs and tokenizers; loads no torch, and tokenizers only where one is read.
"""
