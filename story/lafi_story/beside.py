"""What stands beside the quotes of one paragraph: who `said` them, who acts before and behind."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lafi_story.language import Deed, Gender, Reading

_END: Final = re.compile(r"[.!?。！？…]")
_NEW_SENTENCE: Final = re.compile(r"\s*(?:He|She|They)\b")
_CLOSE: Final = 40
"""Characters between a quote and the verb of saying."""


@dataclass(frozen=True, slots=True)
class Said:
    """Who speaks or acts; pronoun: by a pronoun of this gender, `name` being the likeliest."""

    name: str = ""
    pronoun: bool = False
    gender: Gender = "unknown"

    def __bool__(self) -> bool:
        return bool(self.name) or self.pronoun


class Beside:
    """The quotes of one paragraph and what stands between them."""

    def __init__(self, reading: Reading, who: Mapping[int, str]) -> None:
        self._reading = reading
        self._who = who
        self._mentions = {mention.start: mention for mention in reading.mentions}

    def follows(self, number: int) -> str:
        """How a quote of the paragraph follows the one before, as in `Cue`."""
        text, quotes = self._reading.text, self._reading.quotes
        start, end = quotes[number - 1].end, quotes[number].start
        if not any(c.isalnum() for c in text[start:end]):
            return "adjacent"
        if self.said(number):
            return "beat"
        if text[:end].rstrip().endswith((",", "，")):
            return "goes on"
        if self._said_after(number - 1):
            return "said"
        return "then" if self._reading.beat_follows else "beat"

    def begins_unattributed(self) -> bool:
        """Whether no word stands before the first quote, and none behind it says whose it is."""
        before = self._reading.text[: self._reading.quotes[0].start].strip()
        return not before and not self._said_after(0)

    def announced(self) -> Said:
        """Who is said to speak where the paragraph ends with a colon."""
        text, quotes = self._reading.text, self._reading.quotes
        if not text.rstrip().endswith((":", "：")):
            return Said()
        return self._leading(quotes[-1].end if quotes else 0, len(text), spoken=True)

    def shows(self) -> bool:
        """Whether it ends with a colon, and nobody is said to speak: a letter follows, a sign."""
        return self._reading.text.rstrip().endswith((":", "：")) and not self.announced()

    def said(self, number: int) -> Said:
        """Whom the words beside a quote name as its speaker."""
        return self._said_after(number) or self._said_before(number)

    def beats(self, number: int) -> Sequence[tuple[Said, float]]:
        """Who acts beside a quote, with weights; not who acts `between` two."""
        quotes = self._reading.quotes
        before = Said() if self.between(number) else self._before(number)
        after = Said() if self.between(number + 1) else self._after(number)
        # In English who acts between two quotes says the second one.
        between = number + 1 < len(quotes) and not self._reading.beat_follows
        found = [(before, 1.0), (after, 0.2 if between else 0.5 if before else 0.9)]
        if not (self._before(number) or self._after(number) or self._leads(number)):
            later = self._acting(quotes[number].end, self._next(number), first=True, near=False)
            found.append((later, 0.4))
        return [(said, weight) for said, weight in found if said]

    def between(self, number: int) -> Said:
        """Who acts between a quote and the one before, and said one of the two, in Chinese."""
        if not 0 < number < len(self._reading.quotes) or not self._reading.beat_follows:
            return Said()
        before, after = self._before(number), self._after(number - 1)
        return before if before.name == after.name else Said()

    def _before(self, number: int) -> Said:
        """Who acts before a quote: the last one."""
        quotes = self._reading.quotes
        start, end = quotes[number - 1].end if number else 0, quotes[number].start
        if number and self._said_after(number - 1):
            # What stands behind `said Mia.` may begin with somebody else.
            first = _END.search(self._reading.text, start, end)
            start = first.end() if first else end
        return self._acting(start, end, first=False)

    def _after(self, number: int) -> Said:
        """Who acts behind a quote: the first one of the first sentence."""
        start, end = self._reading.quotes[number].end, self._next(number)
        if self._leads(number):
            # `X smiled: “...”` belongs to what follows the colon.
            ends = [m.end() for m in _END.finditer(self._reading.text, start, end)]
            end = ends[-1] if ends else start
        return self._acting(start, end, first=True)

    def _leads(self, number: int) -> bool:
        """Whether the words behind a quote say who says the next one."""
        return number + 1 < len(self._reading.quotes) and bool(self._said_before(number + 1))

    def _next(self, number: int) -> int:
        quotes = self._reading.quotes
        return quotes[number + 1].start if number + 1 < len(quotes) else len(self._reading.text)

    def _said_after(self, number: int) -> Said:
        """`... ," said Mia`."""
        end = self._reading.quotes[number].end
        if _NEW_SENTENCE.match(self._reading.text[end : end + 8]):
            return Said()
        for deed in self._deeds(end, min(self._next(number), end + _CLOSE)):
            if _END.search(self._reading.text[end : deed.start]):
                return Said()
            if deed.speech and deed.subject is not None and deed.subject >= end:
                # `他说着：“...”`: what ends with a colon belongs to the next quote.
                rest = self._reading.text[deed.start : self._next(number)].rstrip()
                if not rest.endswith((":", "：")) or _END.search(rest):
                    return self._of(deed)
        return Said()

    def _said_before(self, number: int) -> Said:
        """`Mia said, "..."` and `小雨笑了：“...”`."""
        quotes = self._reading.quotes
        return self._leading(quotes[number - 1].end if number else 0, quotes[number].start)

    def _leading(self, start: int, end: int, *, spoken: bool = False) -> Said:
        """Who says what begins at `end`, by the words from `start` on that lead to it.

        spoken: only by verbs of speech.
        """
        lead = self._reading.text[start:end].rstrip()
        if not lead.endswith((":", "：", ",", "，")):
            return Said()
        colon = lead[-1] in ":："
        for deed in reversed(self._deeds(start, end)):
            if _END.search(self._reading.text[deed.start : end]):
                return Said()
            if (deed.speech or (colon and not spoken)) and deed.subject is not None:
                return self._of(deed)
        return Said()

    def _acting(self, start: int, end: int, *, first: bool, near: bool = True) -> Said:
        """Who does something there. near: in the first sentence, if `first`."""
        deeds = self._deeds(start, end)
        for deed in deeds if first else reversed(deeds):
            who = self._of(deed)
            if who and (
                not (first and near) or not _END.search(self._reading.text[start : deed.subject])
            ):
                return who
        return Said()

    def _deeds(self, start: int, end: int) -> list[Deed]:
        return [deed for deed in self._reading.deeds if start <= deed.start < end]

    def _of(self, deed: Deed) -> Said:
        """Who does it."""
        mention = None if deed.subject is None else self._mentions.get(deed.subject)
        if mention is None or mention.plural:
            return Said()
        name = self._who.get(mention.start, "")
        return Said(name, mention.kind == "pronoun", mention.gender)
