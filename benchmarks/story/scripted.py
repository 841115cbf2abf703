"""Answers as a language model would give them, made from what is true of a story, with errors.

Errors of kinds that language models make: somebody who is not in the text, a quote that nobody
says, a border outside, panels out of order, an answer that is cut off. Planned from them, a story
must be what is true of it: so the machinery loses nothing and lets nothing wrong through.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.story.truth import Story
from lafi_story.llm.question import Answer, Question
from lafi_story.quotes import quotes_of

SCRIPT = "scripted"
_PART = re.compile(r"paragraphs (\d+) to (\d+)")
_COUNT = re.compile(r"Choose the (\d+) moments")
_NOBODY = "Zebulon Quark"


class TruthEndpoint:
    """An `Endpoint` that knows the story. Every third question is first answered half."""

    model = SCRIPT

    def __init__(self, story: Story) -> None:
        self._story = story
        self._asked = 0

    def ask(self, question: Question) -> Answer:
        """As `Endpoint`."""
        self._asked += 1
        found = _PART.search(question.user)
        if found is None:
            raise ValueError("a question about no paragraphs")
        part = range(int(found[1]), int(found[2]) + 1)
        makers = {
            "ScenesFound": self._scenes,
            "PeopleFound": self._people,
            "PanelsFound": self._panels,
        }
        count = _COUNT.search(question.user)
        answer = makers[question.name](part, int(count[1]) if count else 0)
        text = json.dumps(answer, ensure_ascii=False)
        cut = self._asked % 3 == 0 and not question.wrong
        return Answer(text[: len(text) // 2] if cut else text)

    def _scenes(self, part: range, _count: int) -> dict[str, Any]:
        borders = [n for n in part if n == 0 or n in self._story.borders]
        outside = [part.stop + 3, -1]
        return {
            "scenes": [
                {"first": n, "place": "", "light": "", "why": ""} for n in (*borders, *outside)
            ]
        }

    def _people(self, part: range, _count: int) -> dict[str, Any]:
        text = "\n".join(self._story.paragraphs[n] for n in part).casefold()
        people = [
            [alias for alias in sorted(aliases) if alias.casefold() in text]
            for aliases in self._story.characters.values()
        ]
        return {
            "people": [
                {"names": names, "gender": "unknown", "looks": []}
                for names in (*filter(None, people), [_NOBODY])
            ]
        }

    def _panels(self, part: range, count: int) -> dict[str, Any]:
        ranges = list(self._ranges(part, count))
        panels = [self._panel(first, last) for first, last in ranges]
        return {"panels": [*panels[1:], *panels[:1]]}

    def _ranges(self, part: range, count: int) -> Iterator[tuple[int, int]]:
        """At most `count` runs of paragraphs, none over a scene's border."""
        starts = [n for n in part if n == part.start or n in self._story.borders]
        ends = [*starts[1:], part.stop]
        spans = list(zip(starts, ends, strict=True))
        size = 1
        while sum(-(-(end - start) // size) for start, end in spans) > count:
            size += 1
            if size > len(part):
                raise ValueError("more scenes than panels")
        for start, end in spans:
            for first in range(start, end, size):
                yield first, min(first + size, end) - 1

    def _panel(self, first: int, last: int) -> dict[str, Any]:
        story = self._story
        present = sorted({key for n in range(first, last + 1) for key in story.present[n]})
        lines = [
            {"paragraph": n, "speaker": self._name(key), "text": quote.text}
            for n in range(first, last + 1)
            for quote, key in zip(quotes_of(story.paragraphs[n]), story.speakers[n], strict=True)
        ]
        wrong = {"paragraph": first, "speaker": _NOBODY, "text": "Nobody ever says this here."}
        return {
            "first": first,
            "last": last,
            "sentence": story.paragraphs[first][:40],
            "figures": [
                {"name": name, "action": "", "mood": "", "prop": ""}
                for name in (_NOBODY, *map(self._name, present))
            ],
            "place": "",
            "light": "",
            "framing": "medium",
            "lines": [*lines, wrong],
        }

    def _name(self, key: str) -> str:
        """One of the names that the text has."""
        text = "\n".join(self._story.paragraphs).casefold()
        return next(a for a in sorted(self._story.characters[key]) if a.casefold() in text)
