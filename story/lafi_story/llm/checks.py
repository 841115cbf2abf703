"""Looks up in the text and in the vocabulary what the model says is there."""

import re
from collections.abc import Sequence
from typing import Final

from lafi_story.quotes import quotes_of
from lafi_story.steps import Outline, quoted
from lafi_story.vocabulary import Vocabulary, plain

MAX_NOTES: Final = 200
_LONGEST: Final = 80
"""Of words that are not the vocabulary's own."""
_ALIKE: Final = str.maketrans("“”„«»「」『』‘’", '"""""""""\'\'')
_EDGES: Final = " \"'“”„«»「」『』‘’"


class Notes:
    """What was dropped or corrected; a hostile answer does not make it grow without end."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = 0

    def add(self, line: str) -> None:
        """One line."""
        if len(self._lines) < MAX_NOTES:
            self._lines.append(quoted(line))
        else:
            self._more += 1

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them, and how many more there were."""
        more = (f"and {self._more} more of the language model's answers",) if self._more else ()
        return (*self._lines, *more)


def short(text: str) -> str:
    """Somebody else's words in a note."""
    line = quoted(text)
    return repr(line if len(line) <= _LONGEST else line[:_LONGEST] + "...")


def found_in(text: str, said: str) -> str:
    """What the text has where `said` stands in it, as it is written there; "": it does not.

    Case and the form of quotation marks do not matter, nor marks around what is said.
    """
    wanted = _folded(" ".join(said.split()).strip(_EDGES))
    at = _folded(text).find(wanted) if wanted else -1
    return text[at : at + len(wanted)] if at >= 0 else ""


def times(text: str, name: str) -> int:
    """How often a name stands in a text; a word in letters with case only as a whole."""
    wanted = re.escape(_folded(name))
    if name.isascii():
        wanted = rf"(?<!\w){wanted}(?!\w)"
    return len(re.findall(wanted, _folded(text))) if name else 0


def spoken_in(text: str, said: str) -> tuple[int, str]:
    """Where something is said aloud in a paragraph, and what; (-1, ""): nowhere.

    In a paragraph without quotation marks everything may be.
    """
    for start, part in [(q.start, text[q.start : q.end]) for q in quotes_of(text)] or [(0, text)]:
        if found := found_in(part, said):
            return start + part.find(found), found
    return -1, ""


def word_of(vocabulary: Vocabulary, kind: str, word: str, where: str, notes: Notes) -> str:
    """A word of the vocabulary, or the model's own where that is free; else "" and a note."""
    known: Sequence[str] = list(getattr(vocabulary, kind))
    return known_word(known, word, f"{where}: {kind}", notes, free=vocabulary.free)


def known_word(known: Sequence[str], word: str, where: str, notes: Notes, *, free: bool) -> str:
    """As `word_of`, of a list of words."""
    if not word.strip() or word in known:
        return word.strip()
    kept = plain(word)
    if free and kept and len(kept) <= _LONGEST:
        return kept
    notes.add(f"{where}: {short(word)} is no word of the vocabulary; it is left open")
    return ""


def text_of(outline: Outline, first: int, last: int) -> str:
    """Paragraphs, one after another."""
    return "\n".join(p.text for p in outline.paragraphs[first : last + 1])


def _folded(text: str) -> str:
    """Characters one by one, so that places stay the same."""
    alike = text.translate(_ALIKE)
    return "".join(low if len(low := c.lower()) == 1 else c for c in alike)
