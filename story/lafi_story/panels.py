"""Writes panels: who is in a passage, what they do, how they feel, where, when, who says what."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from lafi.board.limits import MAX_CHARACTERS_PER_PANEL, MAX_PANELS
from lafi_story.language import Reading
from lafi_story.moments import USUAL_PANELS, Passage, chosen, passages_of
from lafi_story.resolving import Understood
from lafi_story.steps import Figure, Line, Outline, PanelScript, Scenes, Script, quoted

_FAR_FIGURES: Final = 3


def write_panels(
    outline: Outline,
    scenes: Scenes,
    readings: Sequence[Reading],
    understood: Sequence[Understood],
    count: int,
    *,
    free: bool = False,
) -> Script:
    """At most `count` panels, 0: as many as the text has passages, up to USUAL_PANELS.

    free: deeds that are no actions of the vocabulary are the text's own verbs.
    """
    passages = passages_of(outline, scenes, readings, understood)
    picked = chosen(passages, min(count or USUAL_PANELS, MAX_PANELS))
    panels = tuple(_panel(passage, scenes, readings, understood, free) for passage in picked)
    notes = list(_notes(panels))
    if len(picked) < len(passages):
        notes.append(f"{len(picked)} of {len(passages)} passages are shown")
    return Script(panels=panels, notes=tuple(map(quoted, notes)))


def _panel(
    passage: Passage,
    scenes: Scenes,
    readings: Sequence[Reading],
    understood: Sequence[Understood],
    free: bool,
) -> PanelScript:
    scene = scenes.scenes[passage.scene]
    numbers = range(passage.first, passage.last + 1)
    lines = tuple(
        Line(speaker=speaker, text=quoted(quote.text), paragraph=number)
        for number in numbers
        for quote, speaker in zip(readings[number].quotes, understood[number].speakers, strict=True)
    )
    names = _names(passage, numbers, understood)
    figures = tuple(
        _figure(name, passage, numbers, readings, understood)
        for name in names[:MAX_CHARACTERS_PER_PANEL]
    )
    if free:
        known = understood[passage.at].who
        figures = tuple(_doing(f, passage, readings[passage.at], known) for f in figures)
    figures = _as_they_speak(figures, lines)
    text = readings[passage.at].text[passage.start : passage.end]
    return PanelScript(
        scene=passage.scene,
        first=passage.first,
        last=passage.last,
        sentence=quoted(text),
        figures=figures,
        place=_own(numbers, readings, "places", scene.place),
        light=_own(numbers, readings, "lights", scene.light),
        framing=_framing(figures, lines, passage.first == scene.first),
        lines=lines,
    )


def _as_they_speak(figures: Sequence[Figure], lines: Sequence[Line]) -> tuple[Figure, ...]:
    """Of those who speak the first one in the first of their places, so that lines read in order.

    Others stay where they are.
    """
    order = list(dict.fromkeys(line.speaker for line in lines))
    speaking = sorted((f for f in figures if f.name in order), key=lambda f: order.index(f.name))
    following = iter(speaking)
    return tuple(next(following) if f.name in order else f for f in figures)


def _names(passage: Passage, numbers: range, understood: Sequence[Understood]) -> list[str]:
    """Who is there: those of the sentence that is shown first, then by how often they are named."""
    counts: Counter[str] = Counter()
    for number in numbers:
        for name in understood[number].present:
            counts[name] += 1
    shown = understood[passage.at].who.items()
    for at, name in shown:
        if passage.start <= at < passage.end and name in counts:
            counts[name] += 100
    return sorted(counts, key=lambda name: (-counts[name], name))


def _figure(
    name: str,
    passage: Passage,
    numbers: range,
    readings: Sequence[Reading],
    understood: Sequence[Understood],
) -> Figure:
    words = dict.fromkeys(("actions", "moods", "props"), "")
    shown = dict.fromkeys(words, False)
    for number in numbers:
        for found in readings[number].found:
            who = understood[number].who
            if found.kind not in words or found.subject is None or who.get(found.subject) != name:
                continue
            if found.kind == "moods" and not _felt(number, found.start, passage):
                continue
            now = number == passage.at and passage.start <= found.start < passage.end
            # What the sentence says that is shown goes before the rest of the passage.
            if now or not shown[found.kind]:
                words[found.kind] = found.word
                shown[found.kind] = now
    return Figure(name=name, action=words["actions"], mood=words["moods"], prop=words["props"])


def _felt(number: int, start: int, passage: Passage) -> bool:
    """Whether somebody feels so already in the sentence that is shown."""
    return number < passage.at or (number == passage.at and start < passage.end)


def _doing(figure: Figure, passage: Passage, reading: Reading, who: Mapping[int, str]) -> Figure:
    """The figure with the first verb of the sentence that is shown, if it has no action."""
    if figure.action:
        return figure
    for deed in reading.deeds:
        shown = passage.start <= deed.start < passage.end and not (deed.speech or deed.negated)
        own = deed.subject is not None and who.get(deed.subject) == figure.name
        if shown and own and deed.doing:
            return figure.model_copy(update={"action": quoted(deed.doing)})
    return figure


def _own(numbers: range, readings: Sequence[Reading], kind: str, otherwise: str) -> str:
    """The scene's place or light, as panels of a scene stay the same; else the passage's own."""
    named = [f.word for number in numbers for f in readings[number].found if f.kind == kind]
    return otherwise or (Counter(named).most_common(1)[0][0] if named else "")


def _framing(
    figures: Sequence[Figure], lines: Sequence[Line], opens: bool
) -> Literal["near", "medium", "far"]:
    if len(figures) >= _FAR_FIGURES or not figures:
        return "far"
    if opens:
        return "medium"
    still = all(figure.action in ("", "standing") for figure in figures)
    feels = any(figure.mood for figure in figures)
    return "near" if len(figures) == 1 and still and (feels or lines) else "medium"


def _notes(panels: Sequence[PanelScript]) -> Iterator[str]:
    for number, panel in enumerate(panels):
        idle = [figure.name for figure in panel.figures if not figure.action]
        if idle:
            yield f"panel {number}: what {', '.join(idle)} does has no word of the vocabulary"
        mute = sum(not line.speaker for line in panel.lines)
        if mute:
            yield f"panel {number}: who says {mute} of {len(panel.lines)} lines is not known"
        if not panel.figures:
            yield f"panel {number}: nobody is known to be there"
