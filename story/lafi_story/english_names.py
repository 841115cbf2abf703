"""Who is named in an English paragraph: names, titles, roles such as `the old man`, pronouns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from lafi_story.language import Age, Gender, Mention, MentionKind, inside
from lafi_story.quotes import Quote

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_PRONOUNS: Final[dict[str, Gender]] = {
    **dict.fromkeys(("he", "him", "his", "himself"), "male"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "female"),
}
_MANY: Final = ("they", "them", "their", "both", "we", "us", "our", "ours")
_THOSE: Final = ("the", "two", "three", "four", "both", "these", "those")
_NARRATOR: Final = ("i", "me", "my", "myself", "mine")
_NO_PERSON: Final = (
    "GPE",
    "LOC",
    "FAC",
    "DATE",
    "TIME",
    "NORP",
    "LANGUAGE",
    "EVENT",
    "WORK_OF_ART",
)
_SPOKE: Final = (
    "said|says|asked|asks|replied|answered|whispered|shouted|murmured|muttered|exclaimed"
)
"""Of people and beasts only: the wind cried, the string snapped."""
_CRIED: Final = (
    f"{_SPOKE}|cried|called|added|growled|sighed|continued|began|repeated|snapped|laughed"
)
"""As `_SPOKE`, behind what is said."""
_NEW: Final = ("a", "an", "another", "some", "every", "no", "any")


class NameFinder:
    """Knows titles, first names and nicknames."""

    def __init__(self, lexicon: dict[str, Any]) -> None:
        self._words = {key: frozenset(value) for key, value in lexicon.items()}
        self._nicknames: dict[str, str] = lexicon["nicknames"]
        self._titles = self._words["titles"] | self._words["mister"] | self._words["miss"]
        self._roles = self._words["men"] | self._words["women"] | self._words["people"]
        noun = r"(?:the|our) (?:[\w'’-]+ ){0,2}?([a-z]{3,})"
        self._speaking = re.compile(
            rf"\b{noun} (?:had )?(?:{_SPOKE})\b"
            rf"|[,.!?]['\"’”] (?:{_CRIED}) {noun}(?=[,.;:]| [a-z]+ly\b| and\b)",
            re.IGNORECASE,
        )
        self._made: tuple[str, ...] = tuple(lexicon["people_ends"])
        self._learned: frozenset[str] = frozenset()

    def learn(self, texts: Iterable[str]) -> None:
        """Nouns that speak are somebody, `the heron said`, unless they are things that do so."""
        found: Counter[str] = Counter()
        for text in texts:
            for match in self._speaking.finditer(text):
                found[(match[1] or match[2]).lower()] += 1
        self._learned = frozenset(found) - self._words["not_people"] - self._roles

    def gender_of(self, name: str) -> Gender:
        """What titles, first names and roles tell."""
        parts = [part.strip(".").lower() for part in re.split(r"[\s-]+", name)]
        for words, gender in (("miss", "female"), ("mister", "male")):
            if parts[0] in self._words[words]:
                return "female" if gender == "female" else "male"
        for part in map(self._long, parts):
            if part in self._words["women"] or part in self._words["female_names"]:
                return "female"
            if part in self._words["men"] or part in self._words["male_names"]:
                return "male"
        return "unknown"

    def age_of(self, name: str) -> Age:
        """`old` in the name, or a role of the old or the young."""
        parts = set(_parts(name))
        if parts & self._words["young"] or "young" in parts or "little" in parts:
            return "young"
        return "old" if "old" in parts or parts & self._words["old"] else ""

    def same_name(self, one: str, other: str) -> bool:
        """One is part of the other, a nickname of it, or its title alone."""
        a, b = self._core(one), self._core(other)
        titles = [{w for w in _parts(name) if w in self._titles} for name in (one, other)]
        if not a or not b:
            # Only titles or roles: `the captain` and `Captain Hale`.
            return bool(set(_parts(one)) & set(_parts(other)) & (self._titles | self._roles))
        marked = [{self._marked(title) for title in found} - {""} for found in titles]
        if marked[0] and marked[1] and marked[0] != marked[1]:
            return False
        genders = {self.gender_of(one), self.gender_of(other)} - {"unknown"}
        if len(genders) > 1 and (titles[0] or titles[1]):
            return False  # `Mrs Coyle` and `Danny Coyle`
        if len(a) > 1 and len(b) > 1:
            return self._long(a[0]) == self._long(b[0]) and a[-1] == b[-1]
        shared = {self._long(word) for word in a} & {self._long(word) for word in b}
        return bool(shared)

    def differ(self, one: str, other: str) -> bool:
        """Two surnames with titles, or two that are of a man and of a woman."""
        genders = {self.gender_of(one), self.gender_of(other)} - {"unknown"}
        titled = all(_parts(name)[:1] and _parts(name)[0] in self._titles for name in (one, other))
        cores = self._core(one), self._core(other)
        apart = bool(cores[0] and cores[1]) and cores[0][-1] != cores[1][-1]
        return len(genders) > 1 or (titled and apart)

    def _marked(self, title: str) -> str:
        for gender in ("mister", "miss"):
            if title in self._words[gender]:
                return gender
        return ""

    def _long(self, name: str) -> str:
        return self._nicknames.get(name, name)

    def _core(self, name: str) -> list[str]:
        """Without titles and roles; a role with a capital, `Mr Cooper`, is a name."""
        own = [part.strip(".").lower() for part in name.split() if part[:1].isupper()]
        roles = self._roles - set(own)
        return [word for word in _parts(name) if word not in self._titles | roles]

    def mentions(self, doc: Doc, quotes: tuple[Quote, ...]) -> Iterator[Mention]:
        """All mentions in order, none inside another."""
        at = 0
        while at < len(doc):
            token = doc[at]
            end = self._name_end(doc, at)
            if end > at:
                mention = self._name(doc, at, end, quotes)
                if mention is not None:
                    yield mention
                at = end
                continue
            mention = self._other(token, quotes)
            if mention is not None:
                yield mention
            at += 1

    def _name_end(self, doc: Doc, at: int) -> int:
        """The end of a run of capitalised names that begins here; `at`: none does."""
        end = at
        while end < len(doc) and self._in_name(doc[end], first=end == at):
            end += 1
            if end < len(doc) and doc[end].text == "." and doc[end - 1].lower_ in self._titles:
                end += 1
        # A title alone is a name only where it is one that is called so, `Grandpa`.
        alone = [doc[i].lower_.strip(".") for i in range(at, end) if doc[i].text != "."]
        if len(alone) == 1 and alone[0] in self._titles | self._roles:
            kin = alone[0] in self._words["old"] | {"mother", "father", "mum", "dad", "mom", "papa"}
            return end if kin and doc[at].text[0].isupper() and not _has_article(doc[at]) else at
        return end

    def _in_name(self, token: Token, *, first: bool) -> bool:
        text, lower = token.text, token.lower_.strip(".")
        if not text[0].isupper() or not text[0].isalpha():
            return False
        if lower in self._words["not_names"] and not _before_name(token):
            return False
        if lower in self._titles | self._words["old"]:
            return token.tag_ in ("NNP", "NN", "NNPS", "JJ") and (not first or _before_name(token))
        known = lower in self._words["female_names"] or lower in self._words["male_names"]
        if known or lower in self._nicknames:
            return token.tag_ not in ("MD",) or not token.is_sent_start
        return token.tag_ in ("NNP", "NNPS") or (token.ent_type_ == "PERSON" and token.is_alpha)

    def _name(self, doc: Doc, at: int, end: int, quotes: tuple[Quote, ...]) -> Mention | None:
        span = doc[at:end]
        head = span.root
        parts = [token.lower_.strip(".") for token in span]
        known = any(
            p in self._words["female_names"] or p in self._words["male_names"] for p in parts
        )
        titled = len(parts) > 1 and parts[0] in self._titles
        labels = {token.ent_type_ for token in span if token.ent_type_}
        if labels & set(_NO_PERSON) and not (known or titled or head.dep_ == "nsubj"):
            return None
        return self._mention(
            span.start_char,
            span.end_char,
            span.text,
            "name",
            head,
            quotes,
            gender=self.gender_of(span.text),
            person=known or titled or "PERSON" in labels,
        )

    def _other(self, token: Token, quotes: tuple[Quote, ...]) -> Mention | None:
        lower = token.lower_
        start, end = token.idx, token.idx + len(token)
        if lower in _PRONOUNS:
            gender = _PRONOUNS[lower]
            return self._mention(start, end, token.text, "pronoun", token, quotes, gender=gender)
        if lower in _MANY:
            return self._mention(start, end, token.text, "pronoun", token, quotes, plural=True)
        if lower in _NARRATOR and token.pos_ in ("PRON", "DET"):
            return self._mention(start, end, token.text, "narrator", token, quotes)
        if token.pos_ in ("NOUN", "PROPN") and self._is_role(token):
            return self._role(token, quotes)
        return None

    def _is_role(self, token: Token) -> bool:
        lemma = token.lemma_.lower()
        made = lemma.endswith(self._made) and lemma not in self._words["not_people"]
        return lemma in self._roles or lemma in self._learned or (made and lemma not in self._made)

    def _role(self, token: Token, quotes: tuple[Quote, ...]) -> Mention | None:
        if token.tag_ in ("NNS", "NNPS") and any(c.lower_ in _THOSE for c in token.lefts):
            start, end = token.idx, token.idx + len(token)
            return self._mention(start, end, token.text, "pronoun", token, quotes, plural=True)
        if token.tag_ in ("NNS", "NNPS") or token.dep_ == "compound":
            return None
        what = token.dep_ in ("attr", "appos", "oprd") or token.head.lower_ in ("like", "as")
        left = [child for child in token.lefts if child.dep_ in ("det", "poss", "amod", "compound")]
        first = left[0].left_edge if left else token
        determiner = first.lower_
        if what and (determiner in _NEW or not left):
            return None  # `She is a thin woman` says what she is, and names nobody else
        kept = [t for t in token.doc[first.i : token.i + 1] if not t.is_punct]
        adjectives = [
            t.lower_ for t in kept[1:-1] if t.lower_ in ("old", "young", "little", "tall")
        ]
        words = [determiner if determiner in ("my", "our") else "the", *adjectives, token.lower_]
        return self._mention(
            first.idx,
            token.idx + len(token),
            " ".join(words),
            "role",
            token,
            quotes,
            gender=self.gender_of(token.lower_),
            definite=determiner not in _NEW and bool(left),
            age=self.age_of(" ".join(words)),
            generic=token.lemma_.lower() in self._words["generic"] and first.dep_ != "poss",
        )

    def _mention(
        self,
        start: int,
        end: int,
        text: str,
        kind: MentionKind,
        head: Token,
        quotes: tuple[Quote, ...],
        *,
        gender: Gender = "unknown",
        plural: bool = False,
        person: bool = False,
        definite: bool = True,
        age: Age = "",
        generic: bool = False,
    ) -> Mention:
        verb = head.head
        thought = head.dep_ in ("dobj", "pobj", "npadvmod") and (
            verb.lemma_.lower() in self._words["thought"]
            or verb.head.lemma_.lower() in self._words["thought"]
        )
        return Mention(
            start=start,
            end=end,
            text=text,
            kind=kind,
            gender=gender,
            plural=plural,
            subject=head.dep_ in ("nsubj", "nsubjpass"),
            quoted=inside(start, quotes),
            possessive=head.dep_ == "poss",
            thought=thought,
            person=person,
            definite=definite,
            age=age,
            generic=generic,
        )

    def same(self, doc: Doc, mentions: tuple[Mention, ...]) -> Iterator[tuple[str, str]]:
        """Pairs that the paragraph says are one: appositions, `called Nell`, `my sister Bea`."""
        yield from self._being(doc, mentions)
        named = [m for m in mentions if m.kind in ("name", "role")]
        for one, other in pairwise(named):
            between = doc.text[one.end : other.start]
            if one.quoted != other.quoted:
                continue
            if re.fullmatch(r"\s?", between) and one.kind == "role" and other.kind == "name":
                yield other.text, one.text
            elif between == ", " and one.kind == "role" and other.kind == "name" and one.definite:
                if doc.text[other.end : other.end + 1] in (",", ".", ";", ":"):
                    yield other.text, one.text  # `her companion, Miss Hill,`
            elif between == ", " and one.kind == "name" and other.kind == "role" and other.definite:
                if doc.text[other.end : other.end + 1] in (",", ".", ";"):
                    yield one.text, other.text
            elif re.search(self._calling, between) and other.kind == "name" and len(between) < 60:
                yield one.text, other.text

    def _being(self, doc: Doc, mentions: tuple[Mention, ...]) -> Iterator[tuple[str, str]]:
        """`Mr Hill, who was a magistrate`: what somebody is, as `the magistrate`."""
        starts = {m.start: m for m in mentions if m.kind == "name" and not m.quoted}
        for token in doc:
            if token.dep_ != "attr" or token.head.lemma_ != "be" or token.tag_ != "NN":
                continue
            if token.lemma_.lower() in self._words["generic"] or not self._is_role(token):
                continue
            subjects = [c for c in token.head.children if c.dep_ == "nsubj"]
            if subjects and subjects[0].lower_ == "who" and token.head.dep_ == "relcl":
                subjects = [token.head.head]
            if subjects and not any(c.dep_ == "neg" for c in token.head.children):
                one = next((m for s, m in starts.items() if s <= subjects[0].idx < m.end), None)
                if one is not None:
                    yield one.text, f"the {token.lower_}"

    @property
    def _calling(self) -> re.Pattern[str]:
        verbs = r"(?:called|named|nicknamed|christened|known as|goes by|went by|, or)"
        return re.compile(rf"\b{verbs}\b[\s\w]{{0,12}}$|, or $")


def _parts(name: str) -> list[str]:
    words = (word.strip(".").lower() for word in re.split(r"[\s]+", name))
    return [word for word in words if word and word not in ("the", "my", "our")]


def _has_article(token: Token) -> bool:
    return any(child.dep_ in ("det", "poss") for child in token.children)


def _before_name(token: Token) -> bool:
    if token.i + 1 >= len(token.doc):
        return False
    following = token.nbor(1)
    if following.text == "." and token.i + 2 < len(token.doc):
        following = token.nbor(2)
    kin = token.lower_ in (
        "grandpa",
        "grandma",
        "granny",
        "mother",
        "father",
        "mum",
        "dad",
        "papa",
        "mama",
        "mom",
    )
    return kin or (following.text[0].isupper() and following.is_alpha)
