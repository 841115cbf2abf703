"""A storyboard drawn again, each panel reading what others show of its characters.

After Story-Adapter (arXiv:2410.06244), which needs no training either: there every picture of a
round reads all of the round before through tokens of an image encoder; here a panel reads, beside
its characters' references, the nearest panels in which they appear, as further references. Knows
storyboards and picture files, not how they are drawn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

from lafi.board.checks import storyboard_problems
from lafi.board.error import StoryboardError, problem
from lafi.board.further_reference import MAX_FURTHER_REFERENCES, FurtherReference
from lafi.board.limits import Region
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage, StageSource
from lafi.board.storyboard import Panel, Storyboard

MAX_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Refinement:
    """How a panel is drawn again.

    others   panels of the round before that it reads at most, 1 to 4; fewer where the storyboard
             gives it references of its own
    denoise  1 begins with noise, through all its stages; less begins with the panel itself as the
             round before left it, and goes through that share of its last stage only. A panel that
             has `from` or `mask` of its own is drawn by its own stages
    """

    others: int = MAX_FURTHER_REFERENCES
    denoise: float = 1.0

    def __post_init__(self) -> None:
        problems = []
        if not 1 <= self.others <= MAX_FURTHER_REFERENCES:
            allowed = f"1 to {MAX_FURTHER_REFERENCES}"
            problems.append(problem("others", self.others, allowed))
        if not 0 < self.denoise <= 1:
            problems.append(problem("denoise", self.denoise, "more than 0, at most 1"))
        if problems:
            raise StoryboardError(problems)


def refined(
    storyboard: Storyboard, drawn: Mapping[int, bytes], refinement: Refinement
) -> Storyboard:
    """The storyboard of the next round.

    storyboard: as it was written, of whatever round. drawn: picture files of the round before, by
    the panel's number; a panel that failed is read by nobody. Raises StoryboardError where the
    pictures are more than a storyboard may have.
    """
    pictures = {number: ReferenceImage.of_file(data) for number, data in drawn.items()}
    panels = tuple(
        _again(storyboard, number, pictures, refinement) for number in range(len(storyboard.panels))
    )
    again = storyboard.model_copy(update={"panels": panels})
    if problems := storyboard_problems(again):
        raise StoryboardError(problems)
    return again


def panels_read(storyboard: Storyboard, number: int) -> list[tuple[str, int, Region | None]]:
    """What panel `number` may read of the others: (character, panel, part), nearest panels first.

    Characters take turns. A panel with several figures shows one of them only where it says in
    which region; elsewhere one could not be told from the other. A place is shown by panels
    without figures.
    """
    panel = storyboard.panels[number]
    near = sorted(
        (other for other in range(len(storyboard.panels)) if other != number),
        key=lambda other: (abs(other - number), other),
    )
    shows = [
        [(name, other, part) for other in near for part in _parts(storyboard, other, name)]
        for name in panel.characters
    ]
    return [found for found in chain.from_iterable(zip_longest(*shows)) if found is not None]


def _parts(storyboard: Storyboard, number: int, character: str) -> Iterator[Region | None]:
    """The part of a panel that shows a character alone; none where no part does."""
    panel = storyboard.panels[number]
    figures = storyboard.figures(panel)
    if character not in panel.characters:
        return
    if character in panel.regions:
        yield panel.regions[character]
    elif figures in ((), (character,)):
        yield None


def _again(
    storyboard: Storyboard,
    number: int,
    pictures: Mapping[int, ReferenceImage],
    refinement: Refinement,
) -> Panel:
    panel = storyboard.panels[number]
    room = min(refinement.others, MAX_FURTHER_REFERENCES - len(panel.references))
    found = (
        FurtherReference(character=name, image=pictures[other], part=part)
        for name, other, part in panels_read(storyboard, number)
        if other in pictures
    )
    update: dict[str, object] = {"references": (*panel.references, *islice(found, room))}
    stages = storyboard.effective_sampling(panel).stages
    free = not any(stage.source or stage.mask for stage in stages)
    if refinement.denoise < 1 and free and number in pictures:
        update["sampling"] = _from_itself(stages[-1], pictures[number], refinement.denoise)
    return panel.model_copy(update=update)


def _from_itself(stage: SamplingStage, picture: ReferenceImage, denoise: float) -> Sampling:
    """A stage that begins with the panel as it was drawn, on the same noise schedule."""
    steps = max(1, round(stage.steps * denoise))
    update = {"source": StageSource(image=picture), "denoise": denoise, "steps": steps}
    return Sampling(stages=(stage.model_copy(update=update),))
