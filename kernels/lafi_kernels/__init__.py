"""The attention op: torch reference and compiled forms. Knows tensors, never storyboards."""
