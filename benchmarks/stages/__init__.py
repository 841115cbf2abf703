"""Panels larger than the bundled model's own size, drawn in one stage and progressively."""
