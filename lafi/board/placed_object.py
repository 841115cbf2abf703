"""`PlacedObject`: words of a panel's prompt that act in one part of the panel only."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from lafi.board.checked_model import CheckedModel
from lafi.board.error import Verbatim, problem
from lafi.board.limits import Description, Region

MAX_OBJECTS: Final = 4
MAX_SLOTS: Final = 8
"""Regions of one panel: of its characters, its further references and its objects."""
_LETTER: Final = r"[^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
"""Of a word with blanks around it: no letter of Chinese, Japanese or Korean."""


class PlacedObject(CheckedModel):
    """Words, and where they are to be seen.

    In every layer that reads the prompt by cross-attention, cells outside the box do not read the
    tokens of these words. This is forward guidance of arXiv:2304.03373, which needs no
    gradients.
    """

    words: Description
    """As they stand in the prompt, once; case counts."""
    box: Region
    """As fractions of width and height from the upper left corner."""

    def described(self) -> dict[str, Any]:
        """All fields as plain data."""
        return self.model_dump(mode="json")


def occurrences(words: str, prompt: str) -> list[int]:
    """Where the words begin in a prompt, as whole words and outside of braces."""
    before = f"(?<!{_LETTER})" if re.match(_LETTER, words) else ""
    after = f"(?!{_LETTER})" if re.fullmatch(_LETTER, words[-1]) else ""
    hidden = re.sub(r"\{[^{}]*\}", lambda name: "\0" * len(name[0]), prompt)
    # With a look ahead, so that places that overlap count too.
    found = re.finditer(f"(?={before}{re.escape(words)}{after})", hidden)
    return [match.start() for match in found]


def object_problems(field: str, objects: Sequence[PlacedObject], taken: int) -> Iterator[str]:
    """What does not go together. taken: regions of the panel's characters and references."""
    if objects and taken + len(objects) > MAX_SLOTS:
        got = Verbatim(f"{len(objects)} beside {taken} characters and references")
        yield problem(field, got, f"{MAX_SLOTS} of all together")


def words_problems(
    prompt_field: str, prompt: str, field: str, objects: Sequence[PlacedObject]
) -> Iterator[str]:
    """Words that one prompt of the panel lacks, has twice, or shares between two objects."""
    taken: list[tuple[int, int, int]] = []
    for number, each in enumerate(objects):
        where, found = f"{field}[{number}].words", occurrences(each.words, prompt)
        if len(found) != 1:
            allowed = f"words that {prompt_field} has once; it has them {len(found)} times"
            yield problem(where, each.words, allowed)
            continue
        start, stop = found[0], found[0] + len(each.words)
        shared = [other for begin, end, other in taken if begin < stop and start < end]
        if shared:
            yield problem(where, each.words, f"words that {field}[{shared[0]}] does not place")
        taken.append((start, stop, number))
