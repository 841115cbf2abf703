"""What a panel is told and reads: prompts, references, routes. Knows no loop and no engine."""
