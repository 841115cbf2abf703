"""The model's panels of all parts to a `Script`: what they show and quote is in the text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from lafi.board.limits import MAX_CHARACTERS_PER_PANEL
from lafi_story.llm.answers import FigureFound, LineFound, PanelFound, PanelsFound
from lafi_story.llm.checks import Notes, found_in, short, spoken_in, word_of
from lafi_story.llm.question import LlmError
from lafi_story.steps import Cast, Figure, Line, Outline, PanelScript, Scenes, Script, quoted
from lafi_story.vocabulary import Vocabulary


class PanelsChecker:
    """Checks one answer after the other, in the order of the text."""

    def __init__(
        self, outline: Outline, scenes: Scenes, cast: Cast, vocabulary: Vocabulary
    ) -> None:
        self._outline = outline
        self._scenes = scenes
        self._vocabulary = vocabulary
        self._names = _names(cast)
        self._said: set[tuple[int, int]] = set()
        self._notes = Notes()

    def script(self, answers: Iterable[tuple[range, int, PanelsFound]]) -> Script:
        """Part, the most panels of it, and what was answered. Raises LlmError if none is left."""
        panels: list[PanelScript] = []
        for part, most, answer in answers:
            where = f"paragraphs {part.start} to {part.stop - 1}"
            fit = [panel for panel in answer.panels if self._inside(panel, part, where)]
            if any(one.first > other.first for one, other in pairwise(fit)):
                self._notes.add(f"{where}: panels were put into the order of the text")
                fit.sort(key=lambda panel: panel.first)
            if len(fit) > most:
                self._notes.add(f"{where}: {len(fit)} panels, of which the first {most} are drawn")
            panels += [self._panel(len(panels) + n, p) for n, p in enumerate(fit[:most])]
            if not fit and most:
                self._notes.add(f"{where}: no panel")
        if not panels:
            raise LlmError(["the language model: got no panel that shows a part of the text"])
        return Script(panels=tuple(panels), notes=self._notes.lines)

    def _inside(self, panel: PanelFound, part: range, where: str) -> bool:
        if panel.first in part and panel.first <= panel.last:
            return True
        self._notes.add(
            f"a panel of paragraphs {panel.first} to {panel.last} is outside {where}; left out"
        )
        return False

    def _panel(self, number: int, panel: PanelFound) -> PanelScript:
        where = f"panel {number}"
        scene = max(n for n, s in enumerate(self._scenes.scenes) if s.first <= panel.first)
        known = self._scenes.scenes[scene]
        last = min(panel.last, known.last)
        if last < panel.last:
            self._notes.add(f"{where}: ends with its scene, paragraph {last}, not {panel.last}")
        word = self._word
        return PanelScript(
            first=panel.first,
            last=last,
            scene=scene,
            sentence=self._sentence(panel, last, where),
            figures=self._figures(panel.figures, where),
            place=word("places", panel.place, where) or known.place,
            light=word("lights", panel.light, where) or known.light,
            framing=panel.framing,
            lines=tuple(self._lines(panel, last, where)),
        )

    def _word(self, kind: str, word: str, where: str) -> str:
        return word_of(self._vocabulary, kind, word, where, self._notes)

    def _sentence(self, panel: PanelFound, last: int, where: str) -> str:
        for paragraph in self._outline.paragraphs[panel.first : last + 1]:
            if found := found_in(paragraph.text, panel.sentence):
                # Marks around it that were left out in the answer belong to it.
                at = paragraph.text.find(found)
                end = at + len(found)
                while end < len(paragraph.text) and paragraph.text[end] in ".!?。！？…”\"」』’'":
                    end += 1
                return quoted(paragraph.text[at:end])
        text = self._outline.paragraphs[panel.first].text
        self._notes.add(
            f"{where}: {short(panel.sentence)} is not in the text; its paragraph is shown"
        )
        return quoted(text)

    def _figures(self, figures: Sequence[FigureFound], where: str) -> tuple[Figure, ...]:
        found: dict[str, Figure] = {}
        for figure in figures:
            name = self._names.get(figure.name.strip().casefold(), "")
            if not name:
                self._notes.add(f"{where}: {short(figure.name)} is no character; left out")
            elif name in found:
                self._notes.add(f"{where}: {name} stands twice; the first one is drawn")
            elif len(found) == MAX_CHARACTERS_PER_PANEL:
                self._notes.add(f"{where}: no room for {name}")
            else:
                at = f"{where}, {name}"
                found[name] = Figure(
                    name=name,
                    action=self._word("actions", figure.action, at),
                    mood=self._word("moods", figure.mood, at),
                    prop=self._word("props", figure.prop, at),
                )
        return tuple(found.values())

    def _lines(self, panel: PanelFound, last: int, where: str) -> Iterator[Line]:
        placed = []
        for line in panel.lines:
            at, text = self._place(line, panel.first, last)
            if text:
                placed.append((line.paragraph, at, text, line))
            else:
                self._notes.add(f"{where}: {short(line.text)} is not said there; left out")
        in_order = sorted(placed, key=lambda one: one[:2])
        if in_order != placed:
            self._notes.add(f"{where}: its lines were put into the order of the text")
        for paragraph, at, text, line in in_order:
            if (paragraph, at) in self._said:
                self._notes.add(f"{where}: {short(text)} stands there already; left out")
                continue
            self._said.add((paragraph, at))
            speaker = self._names.get(line.speaker.strip().casefold(), "")
            if line.speaker.strip() and not speaker:
                self._notes.add(f"{where}: {short(line.speaker)}, who speaks, is no character")
            yield Line(speaker=speaker, text=quoted(text), paragraph=paragraph)

    def _place(self, line: LineFound, first: int, last: int) -> tuple[int, str]:
        """Where a line stands in its paragraph, and as it is written there; "": nowhere."""
        if not first <= line.paragraph <= last:
            return -1, ""
        return spoken_in(self._outline.paragraphs[line.paragraph].text, line.text)


def _names(cast: Cast) -> Mapping[str, str]:
    """What somebody may be called, without case -> the character."""
    found: dict[str, str] = {}
    for person in cast.characters:
        for name in (person.name, *person.aliases):
            found.setdefault(name.casefold(), person.name)
    return found
