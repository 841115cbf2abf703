"""Prints the notes of a run: what is not as one may expect."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console

_SHOWN: Final = 20


def show_notes(notes: Sequence[str], console: Console) -> None:
    """A line for each of the first ones, and how many more there are."""
    for note in notes[:_SHOWN]:
        console.print(f"note: {note}")
    if len(notes) > _SHOWN:
        console.print(f"note: and {len(notes) - _SHOWN} more")
