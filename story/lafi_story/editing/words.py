"""Finds words of a vocabulary, names and a wish's own words in a text, each once, longest first.

By their forms alone, in English and Chinese at once: a wish is too short for a grammar.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lafi_story.vocabulary import Vocabulary, load_words

KINDS: Final = ("actions", "props", "places", "lights", "moods")
"""Of what a word means in several of them, the first counts."""
VIEWS: Final = ("near", "medium", "far")
_MARKERS: Final = ("remove", "add", "only", "leaving", "joining", "everybody", "somebody", "filler")
_VERBS: Final = ("actions", "moods", "lights")
_CJK: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff、]")


@dataclass(frozen=True, slots=True)
class Meant:
    """Characters [start, end) of a text. kind: of KINDS, `framings`, `name`, or a marker's.

    word: of the vocabulary, or the name; of a marker nothing.
    """

    start: int
    end: int
    kind: str
    word: str = ""


class WordFinder:
    """Words of a vocabulary; of a wish also names of characters and the words of `editing.yaml`."""

    def __init__(self, vocabulary: Vocabulary, names: Sequence[str] | None = None) -> None:
        """names: of characters, as one may write them in a wish; None: the text is a prompt."""
        self._forms: dict[str, tuple[str, str]] = {}
        own: Mapping[str, Any] = load_words("editing")
        for name in names or ():
            self._take("name", name, (name, name.replace("_", " ").replace("-", " ")))
        self._names = frozenset(self._forms)
        for kind in KINDS:
            for word, term in getattr(vocabulary, kind).items():
                english = [f for w in (word, *term.en) for f in _forms(w, kind, own["irregular"])]
                self._take(kind, word, (term.prompt, *english, *term.zh))
        for view in VIEWS:
            self._take("framings", view, (getattr(vocabulary.framings, view),))
            if names is not None:
                self._take("framings", view, _listed(own[view]))
        if names is not None:
            for marker in _MARKERS:
                self._take(marker, "", _listed(own[marker]))
        self._longest = max(map(len, self._forms), default=0)

    def find(self, text: str) -> Iterator[Meant]:
        """In order, without overlaps: a name before any word, else the longest first."""
        alike = "".join(low if len(low := c.casefold()) == 1 else c for c in text)
        start = 0
        while start < len(text):
            end = self._end(alike, start)
            if end > start:
                kind, word = self._forms[alike[start:end]]
                yield Meant(start, end, kind, word)
            start = max(end, start + 1)

    def _end(self, text: str, start: int) -> int:
        """Where the form ends that begins here; `start`: none does."""
        best = start
        for end in range(min(start + self._longest, len(text)), start, -1):
            form = text[start:end]
            if form in self._forms and _bounded(text, start, end):
                if form in self._names:
                    return end
                best = best if best > start else end
        return best

    def _take(self, kind: str, word: str, forms: Iterable[str]) -> None:
        """What a form means already stays."""
        for form in forms:
            if form:
                self._forms.setdefault(" ".join(form.casefold().split()), (kind, word))


def _listed(words: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return (*words["en"], *words["zh"])


def _bounded(text: str, start: int, end: int) -> bool:
    """Whether no word of letters goes on over an edge; Chinese has no such edges."""
    return not (
        (start and _joined(text[start - 1], text[start]))
        or (end < len(text) and _joined(text[end - 1], text[end]))
    )


def _joined(one: str, other: str) -> bool:
    return all((c.isalnum() or c in "_'’") and not _CJK.match(c) for c in (one, other))


def _forms(word: str, kind: str, irregular: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A word with its regular endings: of nouns the plural, of verbs `-s`, `-ing`, `-ed`."""
    yield word
    if not word.isascii() or " " in word:
        return
    yield from irregular.get(word, ())
    short = word[:-1] if word.endswith("e") else word
    if re.search(r"[^aeiou]y$", word):
        yield from (word[:-1] + "ies", word[:-1] + "ied")
    yield from (word + "s", word + "es")
    if kind in _VERBS:
        yield from (short + "ing", short + "ed")
        if re.search(r"[^aeiou][aeiou][bdgmnprt]$", word):
            yield from (word + word[-1] + "ing", word + word[-1] + "ed")
