"""Splits a text into scenes: at chapters and breaks, at another time, at another place."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from lafi_story.language import Reading
from lafi_story.steps import Outline, Scene, Scenes, quoted

MAX_SCENES: Final = 2000
"""Of a text with more borders only every second, third ... is taken."""
_PLACE: Final = "another place"
_SHORTEST: Final = 2
"""Paragraphs of a scene before another place alone may end it."""


def find_scenes(outline: Outline, readings: Sequence[Reading]) -> Scenes:
    """Every paragraph is in one scene; heads and breaks are in the one that they begin."""
    borders = dict(_borders(outline, readings))
    step = len(borders) // MAX_SCENES + 1
    borders = dict(list(borders.items())[::step])
    starts = [0, *sorted(place for place in borders if place > 0)]
    ends = [*(start - 1 for start in starts[1:]), len(readings) - 1]
    scenes: list[Scene] = []
    for first, last in zip(starts, ends, strict=True):
        why = borders.get(first, "the beginning")
        light = _most(readings[first : last + 1], "lights")
        if not light and scenes and why.startswith(_PLACE):
            light = scenes[-1].light  # who only goes elsewhere does so at the same time of day
        place = readings[first].now_at or _most(readings[first : last + 1], "places")
        scenes.append(Scene(first=first, last=last, place=place, light=light, why=why))
    return Scenes(scenes=tuple(scenes), notes=left_open(scenes))


def left_open(scenes: Sequence[Scene]) -> tuple[str, ...]:
    """Notes on what is not known of scenes."""
    places = [f"scene {n}: no known place is named" for n, s in enumerate(scenes) if not s.place]
    times = [f"scene {n}: no time of day is named" for n, s in enumerate(scenes) if not s.light]
    return tuple(f"{line}; it is left open" for line in (*places, *times))


def _borders(outline: Outline, readings: Sequence[Reading]) -> Iterator[tuple[int, str]]:
    """(first paragraph, why)."""
    since, place, waiting = 0, "", ""
    for number, (paragraph, reading) in enumerate(zip(outline.paragraphs, readings, strict=True)):
        if paragraph.kind != "text":
            # Two in a row, such as a break and a head, begin one scene.
            if not waiting:
                yield number, "a chapter" if paragraph.kind == "head" else "a break"
            waiting, since, place = paragraph.kind, 0, ""
            continue
        here = _place(reading)
        if number and not waiting:
            if reading.later:
                yield number, quoted(f"another time: {reading.text[:40]}")
                since, place = 0, here
            elif reading.now_at not in ("", place) and since >= _SHORTEST:
                yield number, f"{_PLACE}: {reading.now_at}"
                since, place = 0, reading.now_at
            elif since >= _SHORTEST and _new_place(reading, readings[number - since : number]):
                yield number, quoted(f"{_PLACE}: {reading.opens_at}")
                since, place = 0, here
        waiting, since = "", since + 1
        place = place or here


def _new_place(reading: Reading, before: Sequence[Reading]) -> bool:
    """Whether a paragraph begins at a place that the scene so far does not name."""
    at = reading.opens_at
    return bool(at) and not any(at in one.text.casefold() for one in before)


def _place(reading: Reading) -> str:
    return next((found.word for found in reading.found if found.kind == "places"), "")


def _most(readings: Sequence[Reading], kind: str) -> str:
    """The word that most paragraphs have, the first one counted double; "": none."""
    counts: Counter[str] = Counter()
    started = False
    for reading in readings:
        words = dict.fromkeys(found.word for found in reading.found if found.kind == kind)
        for word in words:
            counts[word] += 1 if started else 2
        started = started or bool(words)
    return max(counts, key=lambda word: counts[word]) if counts else ""
