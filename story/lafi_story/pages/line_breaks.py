"""Breaks text into lines.

Where a line may end is said by UAX #14 (`uniseg`): English at spaces, Chinese between signs.
Closing punctuation never begins a line, and opening never ends one. A word that is wider than the
line is hyphenated (`pyphen`, English only), or cut where that rule allows it.
"""

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

from pyphen import Pyphen
from uniseg.linebreak import line_break_units

from lafi_story.pages.typeface import LINE, Typeface

CLOSING: Final = frozenset(",.!?;:)]}%，。！？；：、）》〉」』】〕”’…～")
OPENING: Final = frozenset("([{（《〈「『【〔“‘")


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of text, and their place's width and height in ems."""

    lines: tuple[str, ...]
    width: float
    height: float


class SetText:
    """A text in a font, ready to be broken into lines of any width. language: "en" or "zh"."""

    def __init__(self, text: str, face: Typeface, language: str) -> None:
        self.text = " ".join(text.split())
        self.face = face
        self._language = language

    @cached_property
    def _units(self) -> list[str]:
        """Parts between which a line may end."""
        units: list[str] = []
        for unit in line_break_units(self.text):
            if units and (unit[0] in CLOSING or units[-1].rstrip()[-1:] in OPENING):
                units[-1] += unit
            else:
                units.append(unit)
        return units

    @cached_property
    def _lengths(self) -> dict[str, float]:
        return {}

    def length(self, text: str) -> float:
        """Ems, without the spaces at its end."""
        text = text.rstrip()
        if text not in self._lengths:
            self._lengths[text] = self.face.length(text)
        return self._lengths[text]

    def wrapped(self, width: float) -> Block:
        """Lines of at most `width` ems, but for what may not be cut any more."""
        lines: list[str] = []
        line = ""
        for unit in self._units:
            if line and self.length(line + unit) <= width:
                line += unit
                continue
            if line:
                lines.append(line.rstrip())
            *whole, line = self._cut(unit, width)
            lines += whole
        lines.append(line.rstrip())
        widest = max(map(self.length, lines))
        return Block(tuple(lines), widest, LINE * len(lines))

    def blocks(self, widths: Sequence[float]) -> list[Block]:
        """One block for each number of lines that these widths give, as even as may be."""
        found: dict[int, Block] = {}
        for width in widths:
            block = self.wrapped(width)
            count = len(block.lines)
            if count not in found:
                found[count] = self._evened(block)
        return list(found.values())

    def _evened(self, block: Block) -> Block:
        """The narrowest with the same number of lines."""
        low, high = block.width / 2, block.width
        for _ in range(5):
            middle = (low + high) / 2
            tried = self.wrapped(middle)
            if len(tried.lines) == len(block.lines):
                block, high = min(block, tried, key=lambda b: b.width), middle
            else:
                low = middle
        return block

    def _cut(self, unit: str, width: float) -> list[str]:
        """A unit as it is, or in parts where it is wider than a line; the last goes on."""
        parts: list[str] = []
        while self.length(unit) > width:
            cuts = list(self._cuts(unit))
            fits = bisect.bisect_right(cuts, width, key=lambda cut: self.length(cut[0]))
            if not cuts:
                break
            part, unit = cuts[max(fits - 1, 0)]
            parts.append(part)
        return [*parts, unit]

    def _cuts(self, unit: str) -> Iterator[tuple[str, str]]:
        """Every way to cut it: what ends the line, and what begins the next."""
        word = unit.strip("".join(CLOSING | OPENING) + " \"'")
        places = _dictionary().positions(word) if self._language == "en" and word.isalpha() else []
        if places:
            before = unit.index(word)
            for at in places:
                yield unit[: before + at] + "-", unit[before + at :]
            return
        for at in range(1, len(unit)):
            if unit[at] not in CLOSING and unit[at] != " " and unit[at - 1] not in OPENING:
                yield unit[:at], unit[at:]


@cache
def _dictionary() -> Pyphen:
    return Pyphen(lang="en_US")
