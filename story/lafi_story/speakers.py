"""Who says each quote: by `said Mia`, by who acts beside it, by turns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lafi_story.language import Deed, Reading
from lafi_story.quotes import Quote

_END: Final = re.compile(r"[.!?。！？…]")
_NEW_SENTENCE: Final = re.compile(r"\s*(?:He|She|They)\b")
_CLOSE: Final = 40
_MY_NAME: Final = re.compile(
    r"(?:[Mm]y name is |I am called |我叫|我是|叫我)([^\s,.!?，。！？]{1,12})"
)
"""Characters between a quote and the verb of saying."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One quote. speaker: "" where not known. called: whom it calls by name."""

    speaker: str
    called: tuple[str, ...] = ()


class Dialogue:
    """Remembers whose turn it is from paragraph to paragraph."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._last: list[str] = []
        self._announced = ""
        """Who says what the next paragraph begins with: `He said:`, and a new line."""

    def restart(self) -> None:
        """A new scene: nobody has spoken yet."""
        self._last.clear()
        self._announced = ""

    def turns(
        self, reading: Reading, who: Mapping[int, str], nearby: Sequence[str]
    ) -> tuple[Turn, ...]:
        """One for each quote. who: mention's start -> character. nearby: who may speak."""
        paragraph = _Paragraph(reading, who)
        turns = [Turn(self._own_name(quote), self.called(quote)) for quote in reading.quotes]
        announced, self._announced = self._announced, paragraph.announced()
        if announced and turns and not turns[0].speaker and paragraph.begins_unattributed():
            turns[0] = replace(turns[0], speaker=announced)
        for number in range(len(turns)):
            turns[number] = replace(turns[number], speaker=paragraph.speaker(number, turns))
        self._by_turns(paragraph, turns, nearby)
        for turn in turns:
            if turn.speaker and turn.speaker in self._last:
                self._last.remove(turn.speaker)
            if turn.speaker:
                self._last.append(turn.speaker)
        return tuple(turns)

    def _own_name(self, quote: Quote) -> str:
        """`My name is Tim`, `我叫柳如霜`."""
        match = _MY_NAME.search(quote.text)
        return self._aliases.get(match[1].casefold(), "") if match else ""

    def called(self, quote: Quote) -> tuple[str, ...]:
        """Whom it calls by name."""
        found: dict[str, None] = {}
        for part in re.split(r"[,，.。!！?？—…:：;；]+", quote.text):
            name = self._aliases.get(part.strip().casefold())
            if name:
                found[name] = None
        return tuple(found)

    def _by_turns(self, paragraph: "_Paragraph", turns: list[Turn], nearby: Sequence[str]) -> None:
        """Fill what is open: quotes without a word between them are of two people in turn."""
        for number in reversed(range(len(turns) - 1)):
            here, after = turns[number], turns[number + 1]
            if after.speaker and not here.speaker and paragraph.adjacent(number + 1):
                other = self._other(after.speaker, here, nearby)
                turns[number] = replace(here, speaker=other)
        for number, turn in enumerate(turns):
            if turn.speaker:
                continue
            before = turns[number - 1].speaker if number else (self._last[-1] if self._last else "")
            if number and not paragraph.adjacent(number):
                speaker = "" if before in turn.called else before
            else:
                speaker = self._other(before, turn, nearby) if before else ""
            if not speaker and not before:
                speaker = self._alone(turn, nearby)
            turns[number] = replace(turn, speaker=speaker)

    def _other(self, speaker: str, turn: Turn, nearby: Sequence[str]) -> str:
        for name in (*reversed(self._last), *nearby):
            if name != speaker and name not in turn.called:
                return name
        return ""

    def _alone(self, turn: Turn, nearby: Sequence[str]) -> str:
        left = [name for name in nearby if name not in turn.called]
        return left[0] if len(left) == 1 else ""


class _Paragraph:
    """The quotes of one paragraph and what stands between them."""

    def __init__(self, reading: Reading, who: Mapping[int, str]) -> None:
        self._reading = reading
        self._who = who

    def adjacent(self, number: int) -> bool:
        """Whether no word stands between this quote and the one before."""
        start = self._reading.quotes[number - 1].end
        between = self._reading.text[start : self._reading.quotes[number].start]
        return not any(c.isalnum() for c in between)

    def begins_unattributed(self) -> bool:
        """Whether no word stands before the first quote, and none behind it says whose it is."""
        before = self._reading.text[: self._reading.quotes[0].start].strip()
        return not before and not self._said_after(0)

    def announced(self) -> str:
        """Who is said to speak where the paragraph ends with a colon; "": nobody."""
        text, quotes = self._reading.text, self._reading.quotes
        if not text.rstrip().endswith((":", "：")):
            return ""
        return self._leading(quotes[-1].end if quotes else 0, len(text), spoken=True)

    def speaker(self, number: int, turns: Sequence[Turn]) -> str:
        """By what stands beside the quote; "": nothing does."""
        quotes = self._reading.quotes
        quote, called = quotes[number], turns[number].called
        said = turns[number].speaker or self._said_after(number) or self._said_before(number)
        if said:
            return said
        after = self._acting(quote.end, self._next(number), first=True)
        if number and not self.adjacent(number):
            found = self._after_another(number, turns[number - 1], after)
            if found:
                return "" if found in called else found
        start = quotes[number - 1].end if number else 0
        later = self._acting(quote.end, self._next(number), first=True, near=False)
        choices = (self._acting(start, quote.start, first=False), after, later)
        return next((name for name in choices if name and name not in called), "")

    def _after_another(self, number: int, before: Turn, after: str) -> str:
        """Who says a quote that follows another with words between them.

        after: who acts directly after it.
        """
        start, end = self._reading.quotes[number - 1].end, self._reading.quotes[number].start
        if self._goes_on(number):
            return before.speaker
        if after and after != before.speaker and self._reading.beat_follows:
            return after
        if after and after in before.called:
            return after
        if self._said_after(number - 1):
            # What stands behind `said Mia.` may begin with somebody else.
            first = _END.search(self._reading.text, start, end)
            rest = first.end() if first else end
            return self._acting(rest, end, first=False) or before.speaker
        if before.called:
            return before.called[0]
        return self._acting(start, end, first=False) or before.speaker

    def _goes_on(self, number: int) -> bool:
        """Whether the words before the quote end with a comma: one speaker, interrupted."""
        text = self._reading.text[: self._reading.quotes[number].start].rstrip()
        return text.endswith((",", "，", ":", "："))

    def _next(self, number: int) -> int:
        quotes = self._reading.quotes
        return quotes[number + 1].start if number + 1 < len(quotes) else len(self._reading.text)

    def _said_after(self, number: int) -> str:
        """`... ," said Mia`."""
        end = self._reading.quotes[number].end
        if _NEW_SENTENCE.match(self._reading.text[end : end + 8]):
            return ""
        for deed in self._deeds(end, min(self._next(number), end + _CLOSE)):
            if _END.search(self._reading.text[end : deed.start]):
                return ""
            if deed.speech and deed.subject is not None and deed.subject >= end:
                # `他说着：“...”`: what ends with a colon belongs to the next quote.
                rest = self._reading.text[deed.start : self._next(number)].rstrip()
                if not rest.endswith((":", "：")) or _END.search(rest):
                    return self._who.get(deed.subject, "")
        return ""

    def _said_before(self, number: int) -> str:
        """`Mia said, "..."` and `小雨笑了：“...”`."""
        quotes = self._reading.quotes
        return self._leading(quotes[number - 1].end if number else 0, quotes[number].start)

    def _leading(self, start: int, end: int, *, spoken: bool = False) -> str:
        """Who says what begins at `end`, by the words from `start` on that lead to it.

        spoken: only by verbs of speech.
        """
        lead = self._reading.text[start:end].rstrip()
        if not lead.endswith((":", "：", ",", "，")):
            return ""
        colon = lead[-1] in ":："
        for deed in reversed(self._deeds(start, end)):
            if _END.search(self._reading.text[deed.start : end]):
                return ""
            if (deed.speech or (colon and not spoken)) and deed.subject is not None:
                return self._who.get(deed.subject, "")
        return ""

    def _acting(self, start: int, end: int, *, first: bool, near: bool = True) -> str:
        """Who does something there. near: in the first sentence, if `first`."""
        deeds = self._deeds(start, end)
        for deed in deeds if first else reversed(deeds):
            name = "" if deed.subject is None else self._who.get(deed.subject, "")
            if name and (
                not (first and near) or not _END.search(self._reading.text[start : deed.subject])
            ):
                return name
        return ""

    def _deeds(self, start: int, end: int) -> list[Deed]:
        return [deed for deed in self._reading.deeds if start <= deed.start < end]
