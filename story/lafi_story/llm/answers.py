"""What the language model answers: the JSON schemas of its questions come from these types.

Every field must be there; "" and [] stand for what the text does not say.
"""

from typing import Literal

from lafi.board.checked_model import CheckedModel


class SceneFound(CheckedModel):
    """first: the paragraph that begins it."""

    first: int
    place: str
    light: str
    why: str


class ScenesFound(CheckedModel):
    """Those that begin in a part of the text."""

    scenes: tuple[SceneFound, ...]


class LookFound(CheckedModel):
    """said: the words of the text that say it."""

    slot: str
    value: str
    said: str
    paragraph: int


class PersonFound(CheckedModel):
    """names: all that a part of the text calls somebody."""

    names: tuple[str, ...]
    gender: Literal["female", "male", "unknown"]
    looks: tuple[LookFound, ...]


class PeopleFound(CheckedModel):
    """Those of a part of the text."""

    people: tuple[PersonFound, ...]


class FigureFound(CheckedModel):
    """Somebody in a panel."""

    name: str
    action: str
    mood: str
    prop: str


class LineFound(CheckedModel):
    """text: as it stands in the paragraph, without quotation marks."""

    paragraph: int
    speaker: str
    text: str


class PanelFound(CheckedModel):
    """sentence: of the text, the one that is shown."""

    first: int
    last: int
    sentence: str
    figures: tuple[FigureFound, ...]
    place: str
    light: str
    framing: Literal["near", "medium", "far"]
    lines: tuple[LineFound, ...]


class PanelsFound(CheckedModel):
    """Those of a part of the text."""

    panels: tuple[PanelFound, ...]


Points = Literal[0, 1, 2, 3, 4]


class PanelJudged(CheckedModel):
    """What is to be seen in a panel beside its prompt: 0, none of it, to 4, all as it is to be.

    faults: what is wrong, each in a few words, such as `missing: second person`. prompt: a better
    one; "": its words are not the fault.
    """

    people: Points
    looks: Points
    actions: Points
    scene: Points
    picture: Points
    faults: tuple[str, ...]
    prompt: str


class PanelChanged(CheckedModel):
    """How a panel is after a wish. refused: why the wish cannot be granted; "": it is."""

    refused: str
    figures: tuple[FigureFound, ...]
    place: str
    light: str
    framing: Literal["near", "medium", "far"]
