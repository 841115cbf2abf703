"""What the text says of one character's looks, merged: the most said counts, then the first."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lafi_story.language import Reading
from lafi_story.resolving import Understood
from lafi_story.steps import Trait, quoted
from lafi_story.vocabulary import Vocabulary

MAX_SAID: Final = 50
"""Sentences about looks that are kept for each character; all of them count."""


@dataclass(frozen=True, slots=True)
class Looks:
    """values: slot -> value. contradictions: one line for each slot of which several are said."""

    values: dict[str, str]
    said: tuple[Trait, ...]
    contradictions: tuple[str, ...]


def merged_looks(
    name: str,
    readings: Sequence[Reading],
    understood: Sequence[Understood],
    vocabulary: Vocabulary,
) -> Looks:
    """The looks of the character of this name."""
    said = tuple(
        Trait(slot=look.slot, value=look.value, said=quoted(look.said), paragraph=number)
        for number, (reading, known) in enumerate(zip(readings, understood, strict=True))
        for look in reading.looks
        if known.who.get(look.owner) == name
    )
    return looks_of(said, vocabulary)


def looks_of(said: Sequence[Trait], vocabulary: Vocabulary) -> Looks:
    """What holds of all that is said of one character."""
    values: dict[str, str] = {}
    against: list[str] = []
    for slot in vocabulary.looks:
        of_slot = [trait for trait in said if trait.slot == slot]
        counts = Counter(trait.value for trait in of_slot)
        if not counts:
            continue
        best = max(counts, key=lambda value: counts[value])
        values[slot] = best
        if len(counts) > 1:
            places = ", ".join(f"{t.value} (paragraph {t.paragraph})" for t in of_slot[:6])
            against.append(quoted(f"{slot} is {places}; {best} is drawn"))
    return Looks(values, tuple(said[:MAX_SAID]), tuple(against))
