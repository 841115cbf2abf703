"""The exit codes of the commands, and their error messages."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

DRAWN = 0
BAD_STORYBOARD = 2
SERVER_UNAVAILABLE = 3
PANELS_FAILED = 4
NOT_JUDGED = 5
INTERRUPTED = 130

_FROM_BEST_TO_WORST = (
    *(DRAWN, NOT_JUDGED, PANELS_FAILED),
    *(SERVER_UNAVAILABLE, BAD_STORYBOARD, INTERRUPTED),
)


def fail(console: Console, code: int, error: object) -> int:
    """Print the error; returns `code`."""
    console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
    return code


def worst(codes: Iterable[int]) -> int:
    """The worst of the exit codes of several drawings."""
    return max(codes, key=_FROM_BEST_TO_WORST.index, default=DRAWN)
