"""`LlmPlanner`: asks for each part of the text, joins the answers and checks them."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_PANELS
from lafi_story.llm import instructions
from lafi_story.llm.answers import PanelsFound, PeopleFound, ScenesFound
from lafi_story.llm.asking import Asker
from lafi_story.llm.panels import PanelsChecker
from lafi_story.llm.parts import parts_of, shared_out
from lafi_story.llm.people import cast_of
from lafi_story.llm.scenes import scenes_of
from lafi_story.moments import USUAL_PANELS
from lafi_story.planner import Report, silent
from lafi_story.steps import Cast, Outline, Scenes, Script
from lafi_story.vocabulary import Vocabulary

Form = TypeVar("Form")
_PANEL: Final = 300
"""Characters of a text that make a panel, where no number of panels is asked for."""


class LlmPlanner:
    """Asks again only what is not in the asker's recording."""

    version = 1
    """Another one makes kept steps anew."""

    def __init__(self, asker: Asker, vocabulary: Vocabulary) -> None:
        self._asker = asker
        self._vocabulary = vocabulary

    @property
    def identity(self) -> str:
        """As `Planner`."""
        return f"llm {self.version}, {self._asker.model}, vocabulary {self._vocabulary.name}"

    def scenes(self, outline: Outline, report: Report = silent) -> Scenes:
        """As `Planner`. Raises LlmError."""

        def ask(part: range) -> ScenesFound:
            user = instructions.about_scenes(outline, part, self._vocabulary)
            return self._asker.ask(ScenesFound, instructions.SYSTEM, user)

        answers = _each(parts(outline), ask, "asking for scenes", report)
        return scenes_of(outline, answers, self._vocabulary)

    def characters(self, outline: Outline, scenes: Scenes, report: Report = silent) -> Cast:
        """As `Planner`. Raises LlmError."""

        def ask(part: range) -> PeopleFound:
            user = instructions.about_people(outline, part, self._vocabulary)
            return self._asker.ask(PeopleFound, instructions.SYSTEM, user)

        answers = _each(parts(outline), ask, "asking for characters", report)
        return cast_of(outline, answers, self._vocabulary)

    def panels(
        self, outline: Outline, scenes: Scenes, cast: Cast, count: int, report: Report = silent
    ) -> Script:
        """As `Planner`. Raises LlmError."""
        pieces = parts(outline)
        weights = [sum(len(outline.paragraphs[n].text) for n in part) for part in pieces]
        usual = min(USUAL_PANELS, max(len(scenes.scenes), sum(weights) // _PANEL, 1))
        shares = shared_out(min(count or usual, MAX_PANELS), weights)
        asked = [(p, most) for p, most in zip(pieces, shares, strict=True) if most]
        checker = PanelsChecker(outline, scenes, cast, self._vocabulary)

        def ask(at: tuple[range, int]) -> PanelsFound:
            part, most = at
            user = instructions.about_panels(outline, part, scenes, cast, self._vocabulary, most)
            return self._asker.ask(PanelsFound, instructions.SYSTEM, user, _some(most))

        found = _each(asked, ask, "asking for panels", report)
        return checker.script((part, most, answer) for (part, most), answer in found)


def parts(outline: Outline) -> tuple[range, ...]:
    """The parts of the text that are asked about one by one."""
    return parts_of([len(paragraph.text) for paragraph in outline.paragraphs])


Part = TypeVar("Part")


def _each(
    pieces: tuple[Part, ...] | list[Part], ask: Callable[[Part], Form], step: str, report: Report
) -> Iterator[tuple[Part, Form]]:
    for number, part in enumerate(pieces):
        yield part, ask(part)
        report(step, number + 1, len(pieces))


def _some(most: int) -> Callable[[PanelsFound], None]:
    """A check that there are panels."""

    def check(answer: PanelsFound) -> None:
        if not answer.panels:
            raise StoryboardError([problem("panels", Verbatim("none"), f"1 to {most} panels")])

    return check
