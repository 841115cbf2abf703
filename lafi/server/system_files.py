"""Linux's own files below /proc and /sys."""

from __future__ import annotations

from pathlib import Path


def text_of(path: Path) -> str:
    """What such a file says, without the end of its last line; "" if it is not there."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
