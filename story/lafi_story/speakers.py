"""Gathers what speaks for each speaker of each quote, over paragraphs; `conversation` decides."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lafi_story.beside import Beside, Said
from lafi_story.conversation import Cue
from lafi_story.language import Gender, Reading
from lafi_story.quotes import Quote

_MY_NAME: Final = re.compile(
    r"(?:[Mm]y name is |I am called |我叫|我是|叫我)([^\s,.!?，。！？]{1,12})"
)
_LETTER: Final = 60
"""Characters from which on a quote may be a letter with a name at its end."""
_DEAR: Final = re.compile(r"(?:My )?[Dd]ear(?:est)? \w|[\u4e00-\u9fff]{1,8}：")
_SIGNED: Final = re.compile(
    r"(?:^|[.!?。！？…—,，:：\s])((?:[A-Z][\w.]* ?){1,3}|[\u4e00-\u9fff]{1,4}?)"
    r"(?:敬上|[字上书])?[.。]?$"
)
_CLOSING: Final = {"“": "”", "「": "」", "『": "』", "«": "»", "„": "“”", "‘": "’"}
_TAG: Final = 9.0
"""Points for whom the text names as the speaker, `said Mia`."""
_PRONOUN: Final = 2.0
"""For whom a pronoun as the speaker most likely means; others of its gender have no loss."""
_MISFIT: Final = -5.0
"""For those whom the pronoun cannot mean."""
_BEAT: Final = 2.5
"""For who acts beside the quote."""
_CALLED: Final = -7.0
"""For whom the quote calls: nobody calls oneself."""
_SPOKEN_OF: Final = -2.0
"""For whom the quote speaks of by name."""


class Dialogue:
    """Gathers what speaks for each speaker, from paragraph to paragraph."""

    def __init__(
        self,
        aliases: Mapping[str, str],
        genders: Mapping[str, Gender],
        borders: frozenset[int],
        narrator: str = "",
    ) -> None:
        self._aliases = aliases
        self._genders = genders
        self._borders = borders
        self._narrator = narrator
        self._announced: Said = Said()
        """Who says what the next paragraph begins with: `He said:`, and a new line."""
        self._shown = False
        """Whether it begins with what is read: `The letter said:`."""

    def cues(
        self,
        readings: Sequence[Reading],
        whos: Sequence[Mapping[int, str]],
        near: Sequence[Mapping[str, float]],
    ) -> tuple[tuple[Cue, ...], ...]:
        """For each reading one for each quote. whos: mention's start -> character; near: who may
        speak, with points."""
        found: list[tuple[Cue, ...]] = []
        last, scene, is_open = -99, 0, False
        for number, (reading, who) in enumerate(zip(readings, whos, strict=True)):
            scene = number if number in self._borders else scene
            cues = tuple(self._of(reading, who, near[number]))
            if cues:
                apart = "apart" if number - last > 1 else "paragraph"
                follows = "open" if is_open and number - last == 1 else apart
                cues[0].follows = follows if last >= scene else "scene"
                last, is_open = number, _stays_open(reading)
            found.append(cues)
        return tuple(found)

    def _of(
        self, reading: Reading, who: Mapping[int, str], near: Mapping[str, float]
    ) -> Iterator[Cue]:
        paragraph = Beside(reading, who)
        announced, self._announced = self._announced, paragraph.announced()
        shown, self._shown = self._shown, paragraph.shows()
        spoken_of = {
            (m.start, who_is)
            for m in reading.mentions
            if m.quoted and m.kind == "name" and (who_is := self._aliases.get(m.text.casefold()))
        }
        for number, quote in enumerate(reading.quotes):
            cue = Cue(points=dict(near), called=called(quote, self._aliases))
            if number:
                cue.follows = paragraph.follows(number)
            said = paragraph.said(number)
            if not number and announced.name and paragraph.begins_unattributed():
                said = announced
            own = self._own_name(quote)
            if _is_letter(quote) or (shown and not number and paragraph.begins_unattributed()):
                cue.points = dict.fromkeys(near, _CALLED)
                own = self._signed(quote)
            if own:
                cue.add(own, 2 * _TAG)
            cue.asks = quote.text.endswith(("?", "？"))
            self._count(cue, said, paragraph.beats(number))
            if between := paragraph.between(number):
                cue.between = {n: 0.3 * _BEAT for n in near if self._may_be(n, between)}
                cue.between[between.name] = _BEAT
            for name in cue.called:
                cue.add(name, _CALLED)
            for name in {w for at, w in spoken_of if quote.start <= at < quote.end}:
                if name not in cue.called and name != own:
                    cue.add(name, _SPOKEN_OF)
            yield cue

    def _count(self, cue: Cue, said: Said, beats: Sequence[tuple[Said, float]]) -> None:
        if said.name and not said.pronoun:
            cue.add(said.name, _TAG)
        elif said.pronoun:
            self._fit(cue, said, _PRONOUN, _MISFIT)
        else:
            for beat, weight in beats:
                if beat.pronoun:
                    self._fit(cue, beat, weight * _BEAT, 0.3 * weight * _MISFIT)
                elif beat.name:
                    cue.add(beat.name, weight * _BEAT)

    def _fit(self, cue: Cue, said: Said, points: float, misfit: float) -> None:
        if said.name:
            cue.add(said.name, points)
        for name in cue.points:
            if not self._may_be(name, said):
                cue.add(name, misfit)
            elif said.gender == self._genders.get(name) != "unknown":
                cue.add(name, 0.5 * points)

    def _may_be(self, name: str, said: Said) -> bool:
        """Whether a pronoun may mean this character."""
        own = self._genders.get(name, "unknown")
        fits = "unknown" in (own, said.gender) or own == said.gender
        return said.pronoun and name != self._narrator and fits

    def _own_name(self, quote: Quote) -> str:
        """`My name is Tim`, `我叫柳如霜`."""
        names = (self._aliases.get(m[1].casefold(), "") for m in _MY_NAME.finditer(quote.text))
        return next(filter(None, names), "")

    def _signed(self, quote: Quote) -> str:
        """Who wrote a letter that is read out: the name at its end."""
        last = _SIGNED.search(quote.text)
        return self._aliases.get(last[1].casefold(), "") if last else ""


def called(quote: Quote, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Whom a quote calls by name."""
    parts = re.split(r"[,，.。!！?？—…:：;；]+", quote.text)
    names = (aliases.get(part.strip().casefold(), "") for part in parts)
    return tuple(dict.fromkeys(filter(None, names)))


def _is_letter(quote: Quote) -> bool:
    """Whether it is read and not said: it is long and begins as letters do."""
    return len(quote.text) > _LETTER and bool(_DEAR.match(quote.text))


def _stays_open(reading: Reading) -> bool:
    """Whether the last quote is not closed: the next paragraph goes on with it."""
    quote = reading.quotes[-1]
    opened = reading.text[quote.start]
    return quote.end == len(reading.text) and reading.text[-1] not in _CLOSING.get(opened, opened)
