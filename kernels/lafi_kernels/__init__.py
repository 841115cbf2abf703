"""The attention op: torch reference and compiled forms. Knows tensors, not storyboards."""
