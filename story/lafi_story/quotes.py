"""Finds what is said aloud: text in quotation marks of any usual kind."""

import re
from dataclasses import dataclass
from typing import Final

_PAIRS: Final = {"“": "”", "「": "」", "『": "』", "«": "»", "„": "“”"}
_SINGLE: Final = re.compile(r"(?<![\w])['‘](?=\w)(.+?[,.!?…—-])['’](?!\w)")


@dataclass(frozen=True, slots=True)
class Quote:
    """Characters [start, end) of a paragraph, marks included. `text`: what is said, without."""

    start: int
    end: int
    text: str


def quotes_of(text: str) -> tuple[Quote, ...]:
    """The quotes of one paragraph in order; one that is not closed ends with the paragraph.

    A part in quotation marks that is a word of the sentence, such as a title, is no quote.
    """
    found, at = [], 0
    while at < len(text):
        closing = '"' if text[at] == '"' else _PAIRS.get(text[at])
        if closing is None:
            at += 1
            continue
        ends = [place for mark in closing if (place := text.find(mark, at + 1)) > 0]
        end = min(ends) + 1 if ends else len(text)
        said = text[at + 1 : end - 1 if ends else end].strip()
        if said and _is_speech(said, text[:at], text[end:]):
            found.append(Quote(at, end, said))
        at = end
    if found:
        return tuple(found)
    return tuple(Quote(m.start(), m.end(), m[1]) for m in _SINGLE.finditer(text))


def _is_speech(said: str, before: str, after: str) -> bool:
    """Speech ends with a mark, or begins or ends the sentence around it."""
    if said[-1] in ".,!?…—-。！？，；~～" or len(said) > 40:
        return True
    before, after = before.rstrip(), after.lstrip()
    return not before or (
        before[-1] in '.,:!?：，。！？”"’' and (not after or after[0] in ".,，。”")
    )
