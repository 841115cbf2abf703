"""Checks of a panel's further references that need the panel's characters."""

from collections.abc import Iterator, Sequence

from lafi.board.error import closest, problem
from lafi.board.further_reference import FurtherReference


def further_reference_problems(
    field: str, references: Sequence[FurtherReference], characters: Sequence[str]
) -> Iterator[str]:
    """A line for each of a character that is not in the panel. characters: of the panel."""
    for place, reference in enumerate(references):
        if reference.character not in characters:
            known = ", ".join(characters) or "none"
            allowed = f"{known}{closest(reference.character, characters)}, who are in this panel"
            yield problem(f"{field}[{place}].character", reference.character, allowed)
