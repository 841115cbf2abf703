"""Inputs of a panel: its prompts, references and routes. Knows no loop and no engine."""
