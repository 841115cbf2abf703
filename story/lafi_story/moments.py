"""Cuts scenes into passages of the size of a panel, and chooses which of them to show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lafi_story.language import Reading, inside
from lafi_story.resolving import Understood
from lafi_story.steps import Outline, Scenes

_SIZE: Final = {"en": 200, "zh": 80}
"""Characters from which on a passage is long enough for a panel."""
USUAL_PANELS: Final = 24
"""The most panels where no number is asked for."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Paragraphs [first, last] of a scene, and what in it is best shown."""

    scene: int
    first: int
    last: int
    score: float
    at: int
    """The paragraph of the sentence that is shown, and that sentence's characters."""
    start: int
    end: int


def passages_of(
    outline: Outline, scenes: Scenes, readings: Sequence[Reading], understood: Sequence[Understood]
) -> tuple[Passage, ...]:
    """All passages in order; together they are the whole text but for heads and breaks."""
    found = []
    for number, scene in enumerate(scenes.scenes):
        inside_scene = range(scene.first, min(scene.last + 1, len(readings)))
        text = [i for i in inside_scene if outline.paragraphs[i].kind == "text"]
        for first, last in _ranges(text, readings, _SIZE[outline.language]):
            found.append(_passage(number, first, last, readings, understood))
    return tuple(found)


def chosen(passages: Sequence[Passage], count: int) -> tuple[Passage, ...]:
    """At most `count` of them in order: the best of each scene first, then the best of all."""
    if len(passages) <= count:
        return tuple(passages)
    best: dict[int, Passage] = {}
    for passage in passages:
        if passage.scene not in best or passage.score > best[passage.scene].score:
            best[passage.scene] = passage
    ranked = sorted(best.values(), key=lambda p: (-p.score, p.first))
    taken = {id(p) for p in ranked}
    rest = (p for p in passages if id(p) not in taken)
    ranked += sorted(rest, key=lambda p: (-p.score, p.first))
    return tuple(sorted(ranked[:count], key=lambda p: p.first))


def _ranges(text: list[int], readings: Sequence[Reading], size: int) -> list[tuple[int, int]]:
    """Paragraphs put together until they are long enough; a short rest joins the one before."""
    found: list[tuple[int, int]] = []
    start, length = 0, 0
    for place, number in enumerate(text):
        length += len(readings[number].text)
        if length >= size:
            found.append((text[start], number))
            start, length = place + 1, 0
    if start < len(text):
        if found and 2 * length < size:
            found[-1] = (found[-1][0], text[-1])
        else:
            found.append((text[start], text[-1]))
    return found


def _passage(
    scene: int, first: int, last: int, readings: Sequence[Reading], understood: Sequence[Understood]
) -> Passage:
    best, total = (-1.0, first, 0, 0), 0.0
    for number in range(first, last + 1):
        reading, who = readings[number], understood[number].who
        total += 0.5 * len(understood[number].present) + 0.3 * len(reading.quotes)
        for start, end in reading.sentences or ((0, len(reading.text)),):
            score = _score(reading, who, start, end)
            total += 0.2 * score
            if score > best[0]:
                best = (score, number, start, end)
    score, at, start, end = best
    start = _with_its_line(readings[at], start, end)
    return Passage(scene, first, last, total + score, at, start, end)


def _with_its_line(reading: Reading, start: int, end: int) -> int:
    """Where a sentence begins that only says who speaks, `she said`: with what is said.

    So no panel tells what its balloon shows.
    """
    lines = [
        q for q in reading.quotes if q.end <= start and not reading.text[q.end : start].strip()
    ]
    deeds = [deed for deed in reading.deeds if start <= deed.start < end]
    last = max(deeds, key=lambda deed: deed.start, default=None)
    if not lines or last is None or not last.speech:
        return start
    says_all = all(deed.speech for deed in deeds)
    ends_so = not any(c.isalnum() for c in reading.text[last.start + len(last.verb) : end])
    return lines[-1].start if says_all or ends_so else start


def _score(reading: Reading, who: dict[int, str], start: int, end: int) -> float:
    """How much a sentence shows: deeds that can be drawn, moods, people."""
    points = 0.0
    for found in reading.found:
        if start <= found.start < end:
            known = found.subject is not None and found.subject in who
            points += {"actions": 2.0, "moods": 1.0}.get(found.kind, 0.3) * (1.0 if known else 0.4)
    people = {name for at, name in who.items() if start <= at < end}
    points += 0.5 * len(people)
    if inside(start, reading.quotes) and inside(end - 1, reading.quotes):
        points *= 0.2
    return points
