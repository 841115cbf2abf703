"""Who each mention of a text is: names by their aliases, pronouns by what went before."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from types import MappingProxyType
from typing import Final

from lafi_story.conversation import best_speakers, nearness
from lafi_story.language import Age, Gender, Mention, Reading, inside
from lafi_story.presence import who_is_there
from lafi_story.speakers import Dialogue, called

_FAR: Final = 6
"""Sentences after which a pronoun does not mean somebody any more."""
_SPOKEN_OF: Final = 3.0
"""Points that somebody who is named in a quote loses as whom a pronoun means."""
_NEAR_PARAGRAPHS: Final = 3
_CALLED: Final = re.compile(r"(?:名?叫做?.?|的名字叫.?| (?:is|was) called | name (?:is|was) )")
_BESIDE: Final = re.compile(
    r"\b(?:beside|behind|before|after|around|about|over|under|above|below|near|with|between) $|在$",
    re.IGNORECASE,
)
"""`Nora sat with the ball beside her`: what is there may be her own."""
_NUMBERS: Final = {
    **dict.fromkeys(("two", "both", "两"), 2),
    **dict.fromkeys(("three", "三"), 3),
    **dict.fromkeys(("four", "四"), 4),
}
_SELF: Final = ("自己", "himself", "herself")
_WE: Final = ("we", "us", "our", "ours", "我们", "咱们")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the characters: alias -> name, name -> gender, and who tells the story."""

    aliases: Mapping[str, str]
    genders: Mapping[str, Gender]
    narrator: str = ""
    ages: Mapping[str, Age] = field(default_factory=dict)

    def fits(self, name: str, gender: Gender) -> bool:
        """Whether a pronoun or role of this gender may mean this character."""
        own = self.genders.get(name, "unknown")
        return gender == "unknown" or own in (gender, "unknown")


@dataclass(slots=True)
class Understood:
    """One paragraph: mention's start -> name; who is there; who says each quote ("": not known)."""

    who: dict[int, str] = field(default_factory=dict)
    present: list[str] = field(default_factory=list)
    speakers: tuple[str, ...] = ()
    together: list[str] = field(default_factory=list)
    """Whom `they` means."""

    def add(self, name: str) -> None:
        """Note that somebody is there."""
        if name and name not in self.present:
            self.present.append(name)


@dataclass(slots=True)
class Votes:
    """What the text tells beside: who a role may be, a pronoun's gender, whom a quote calls."""

    roles: dict[str, Counter[str]] = field(default_factory=dict)
    genders: dict[str, Counter[Gender]] = field(default_factory=dict)
    called: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    sentence: int
    subject: bool
    weak: float


class Resolver:
    """Goes through a text twice: who speaks is known better once everybody was named."""

    def __init__(self, known: Known, borders: Collection[int] = ()) -> None:
        """borders: first paragraphs of scenes."""
        self._known = known
        self._borders = frozenset(borders)
        self.votes = Votes()

    def run(self, readings: Sequence[Reading]) -> Sequence[Understood]:
        """One for each reading."""
        first = _Pass(self._known, self._borders, [("",) * len(r.quotes) for r in readings])
        first.run(readings)
        said = self._speakers(readings, first.understood)
        second = _Pass(self._known, self._borders, said, first.introduced)
        second.run(readings)
        self.votes = second.votes
        spoken = self._speakers(readings, second.understood)
        for one, speakers in zip(second.understood, spoken, strict=True):
            for name in filter(None, speakers):
                one.add(name)
            one.speakers = speakers
        self._settle_presence(readings, second.understood)
        return second.understood

    def _settle_presence(
        self, readings: Sequence[Reading], understood: Sequence[Understood]
    ) -> None:
        """Who is there, by what goes before and after."""
        talk = [tuple(filter(None, one.speakers)) for one in understood]
        strong = [
            frozenset((*self._acting(reading, one.who), *one.together, *said))
            for reading, one, said in zip(readings, understood, talk, strict=True)
        ]
        present = who_is_there([one.present for one in understood], strong, talk, self._borders)
        for one, names in zip(understood, present, strict=True):
            one.present = names

    def _speakers(
        self, readings: Sequence[Reading], understood: Sequence[Understood]
    ) -> Sequence[tuple[str, ...]]:
        """Who says each quote of each reading."""
        known = self._known
        dialogue = Dialogue(known.aliases, known.genders, self._borders, known.narrator)
        acting = [
            self._acting(r, u.who) | {n for q in r.quotes for n in called(q, known.aliases)}
            for r, u in zip(readings, understood, strict=True)
        ]
        near = nearness([sorted(names) for names in acting], self._borders)
        cues = dialogue.cues(readings, [u.who for u in understood], near)
        found = iter(best_speakers([cue for paragraph in cues for cue in paragraph]))
        return [tuple(islice(found, len(paragraph))) for paragraph in cues]

    def _acting(self, reading: Reading, who: Mapping[int, str]) -> set[str]:
        """Who is there, and not only spoken of."""
        return {
            who[m.start]
            for m in reading.mentions
            if m.start in who and not (m.quoted or m.thought or m.possessive)
        }


class _Pass:
    """Goes through a text once, paragraph by paragraph."""

    def __init__(
        self,
        known: Known,
        borders: frozenset[int],
        speakers: Sequence[tuple[str, ...]],
        introduced: Mapping[tuple[int, int], str] = MappingProxyType({}),
    ) -> None:
        """speakers: who says each quote, as far as that is known. introduced: paragraph and start
        of a mention of somebody new -> the name that they have later."""
        self._known = known
        self._borders = borders
        self._speakers = speakers
        self._introduced = introduced
        self.introduced: dict[tuple[int, int], str] = {}
        self._recent: list[_Seen] = []
        self._sentence = 0
        self._paragraph = 0
        self._met: set[str] = set()
        self._waiting: list[tuple[int, Mention]] = []
        self._described: dict[str, Age] = {}
        """Ages from a first description."""
        self.votes = Votes()
        self.understood: list[Understood] = []

    def run(self, readings: Sequence[Reading]) -> Sequence[Understood]:
        """One for each reading."""
        for number, reading in enumerate(readings):
            self._paragraph = number
            self.understood.append(Understood())
            self._read(reading)
        return self.understood

    def _read(self, reading: Reading) -> None:
        here = self.understood[-1]
        first = self._sentence
        for place, mention in enumerate(reading.mentions):
            self._sentence = first + _sentence_of(mention.start, reading)
            name = self._own_name(place, reading) or self._resolve(
                mention, self._others(mention, reading)
            )
            if name:
                here.who[mention.start] = name
                self._note(mention, name)
        self._sentence = first + len(reading.sentences)
        here.speakers = self._speakers[self._paragraph]
        self._vote_called(reading, here.speakers)
        for name in self._present(reading):
            here.add(name)
        for name in filter(None, here.speakers):
            self._recent.append(_Seen(name, self._sentence - 1, False, 1.0))

    def _own_name(self, place: int, reading: Reading) -> str:
        """`他叫李小龙`, `His name was Tim`: who a pronoun is said to be."""
        mention, after = reading.mentions[place], reading.mentions[place + 1 : place + 2]
        if mention.kind != "pronoun" or mention.quoted or not after or after[0].kind != "name":
            return ""
        if not _CALLED.fullmatch(reading.text[mention.end : after[0].start]):
            return ""
        return self._known.aliases.get(after[0].text.casefold(), "")

    def _others(self, mention: Mention, reading: Reading) -> frozenset[str]:
        """Whom a pronoun cannot mean: whom the quote before it calls, as in `“奶奶！”她喊`, and who
        does something to it, as in `Tim looked at him`."""
        if mention.kind != "pronoun" or mention.quoted:
            return frozenset()
        found: set[str] = set()
        for quote in reading.quotes:
            if quote.end <= mention.start <= quote.end + 1:
                found.update(called(quote, self._known.aliases))
        before = reading.text[: mention.start]
        free = mention.subject or mention.possessive or mention.text in _SELF
        if not (free or _BESIDE.search(before)):
            sentence = _sentence_of(mention.start, reading)
            found.update(
                self.understood[-1].who.get(other.start, "")
                for other in reading.mentions
                if other.subject
                and other.start < mention.start
                and _sentence_of(other.start, reading) == sentence
            )
        return frozenset(found)

    def _resolve(self, mention: Mention, others: frozenset[str]) -> str:
        if mention.kind == "narrator":
            return "" if mention.quoted else self._known.narrator
        if mention.kind == "pronoun":
            return "" if mention.plural or mention.quoted else self._antecedent(mention, others)
        name = self._known.aliases.get(mention.text.casefold(), "")
        if mention.kind == "name":
            if name and name not in self._met and not mention.thought:
                self._met.add(name)
                self._introduce(name)
            return name
        if not mention.definite:
            if not mention.quoted:
                self._waiting.append((self._paragraph, mention))
            return self._introduced.get((self._paragraph, mention.start), "")
        return name or self._role(mention)

    def _role(self, mention: Mention) -> str:
        if mention.quoted:
            return ""
        for _, waiting in reversed(self._waiting):
            if _same_role(waiting.text, mention.text):
                return ""
        found = self._antecedent(mention) if mention.generic else ""
        self.votes.roles.setdefault(mention.text, Counter())[found] += 1
        return ""

    def _introduce(self, name: str) -> None:
        """A boy sat there ... `Tim!`: somebody new who was first only described."""
        for place, (paragraph, mention) in enumerate(self._waiting):
            near = self._paragraph - paragraph <= _NEAR_PARAGRAPHS
            if near and self._known.fits(name, mention.gender):
                self.introduced[paragraph, mention.start] = name
                self.understood[paragraph].who[mention.start] = name
                self.understood[paragraph].add(name)
                self._described[name] = mention.age
                self.votes.roles.setdefault(mention.text, Counter())[name] += 2
                del self._waiting[place]
                return

    def _antecedent(self, mention: Mention, others: frozenset[str] = frozenset()) -> str:
        best, score = "", -99.0
        for seen in self._recent:
            away = self._sentence - seen.sentence
            gender = self._gender(seen.name)
            fits = "unknown" in (gender, mention.gender) or gender == mention.gender
            if "" != mention.age != self._age(seen.name) != "":
                continue
            if away > _FAR or not fits or seen.name in others:
                continue
            certain = gender == mention.gender
            points = -2.0 * away + 1.5 * seen.subject - seen.weak + 1.0 * certain
            points += 6.0 * (mention.age != "" and mention.age == self._age(seen.name))
            if points >= score:
                best, score = seen.name, points
        if best and mention.gender != "unknown" and mention.kind == "pronoun":
            self.votes.genders.setdefault(best, Counter())[mention.gender] += 1
        return best

    def _gender(self, name: str) -> Gender:
        """What is known, else what the pronouns so far say."""
        own = self._known.genders.get(name, "unknown")
        votes = self.votes.genders.get(name)
        return max(votes, key=lambda g: votes[g]) if own == "unknown" and votes else own

    def _age(self, name: str) -> Age:
        return self._known.ages.get(name, "") or self._described.get(name, "")

    def _note(self, mention: Mention, name: str) -> None:
        weak = _SPOKEN_OF if mention.quoted else 1.0 * (mention.possessive or mention.thought)
        if name != self._known.narrator:
            self._recent.append(_Seen(name, self._sentence, mention.subject, weak))
            del self._recent[:-24]

    def _nearby(self) -> tuple[str, ...]:
        """Who is in this paragraph and the two before it, the last first."""
        found: dict[str, None] = {}
        for place, one in enumerate(reversed(self.understood[-3:])):
            crossed = any(self._paragraph - k in self._borders for k in range(place))
            if not crossed:
                found.update(dict.fromkeys((*one.who.values(), *one.present)))
        return tuple(found)

    def _present(self, reading: Reading) -> Iterator[str]:
        here = self.understood[-1]
        for mention in reading.mentions:
            if mention.quoted:
                continue
            if mention.plural:
                here.together.extend(self._group(_number(mention, reading)))
                yield from here.together
                if mention.text.casefold() in _WE:
                    yield self._known.narrator
            elif not mention.thought:
                yield here.who.get(mention.start, "")
        yield from here.speakers
        for quote in reading.quotes:
            yield from called(quote, self._known.aliases)

    def _group(self, number: int) -> Iterator[str]:
        """Whom `they` means: those of this paragraph, and those of the one before.

        number: of how many it speaks, 0: not said. Where a scene begins, two names are enough.
        """
        found = dict.fromkeys(self.understood[-1].who.values())
        begins = self._paragraph in self._borders
        if len(self.understood) > 1 and not (begins and not number and len(found) > 1):
            before = (name for name in self.understood[-2].present if name not in found)
            left = max(0, number - len(found)) if number and begins else None
            found.update(dict.fromkeys(islice(before, left)))
        yield from found

    def _vote_called(self, reading: Reading, speakers: Sequence[str]) -> None:
        for number, (quote, speaker) in enumerate(zip(reading.quotes, speakers, strict=True)):
            partner = self._partner(number, speaker)
            if self._known.narrator and self._known.narrator != speaker:
                partner = self._known.narrator  # others have names where they are told of
            if not speaker or not partner:
                continue
            for mention in reading.mentions:
                text = mention.text.casefold()
                spoken = inside(mention.start, (quote,)) and mention.kind == "name"
                spoken = spoken and mention.person
                if spoken and text not in self._known.aliases and calls(quote.text, mention.text):
                    self.votes.called.setdefault(mention.text, Counter())[partner] += 1

    def _partner(self, number: int, speaker: str) -> str:
        """To whom a quote is said: who speaks before and after it, else who alone is near."""
        at = self._paragraph
        first = at if at in self._borders else max(0, at - 1)
        last = next((b for b in (at + 1, at + 2) if b in self._borders), at + 2)
        ways = (
            [*self._speakers[at][number + 1 :], *chain(*self._speakers[at + 1 : last])],
            [*chain(*self._speakers[first:at]), *self._speakers[at][:number]][::-1],
        )
        near = (next((n for n in way if n not in ("", speaker)), "") for way in ways)
        others = {name for name in near if name}
        if len(others) != 1:
            others = {name for name in self._nearby() if name != speaker}
        return others.pop() if len(others) == 1 else ""


def calls(said: str, name: str) -> bool:
    """Whether what is said calls somebody by this name: `Ned, come!`, `小雨，等等`."""
    word = re.escape(name)
    return bool(re.search(rf"(?:^|[,，。！？.!?—]\s*){word}(?=[,，！!?？.。—]|$)", said))


def _number(mention: Mention, reading: Reading) -> int:
    """How many `the three of them` or `三个孩子` are; 0: not said."""
    near = reading.text[max(0, mention.start - 10) : mention.end].casefold()
    found = [(near.rfind(word), number) for word, number in _NUMBERS.items()]
    at, number = max(found)
    return number if at >= 0 else 0


def _same_role(one: str, other: str) -> bool:
    return one.split()[-1] == other.split()[-1]


def _sentence_of(start: int, reading: Reading) -> int:
    for number, (_, end) in enumerate(reading.sentences):
        if start < end:
            return number
    return max(0, len(reading.sentences) - 1)
