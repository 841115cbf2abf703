"""`PanelChange` and `PanelEditor`: who changes panels of a storyboard, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lafi.board.storyboard import Panel, Storyboard
from lafi_story.prompts import TokenCount
from lafi_story.vocabulary import Vocabulary

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PanelChange:
    """Fields of a panel after a change; None: as it was. notes: what else is to be known."""

    number: int
    prompt: str
    regions: Mapping[str, Box] | None = None
    characters: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    seed: int | None = None

    def changes(self, panel: Panel) -> bool:
        """Whether anything of the panel is another one."""
        regions = self.regions is not None and dict(self.regions) != panel.regions
        cast = self.characters is not None and self.characters != panel.characters
        seed = self.seed is not None and self.seed != panel.seed
        return self.prompt != panel.prompt or regions or cast or seed


class PanelEditor(Protocol):
    """Rules, or a language model."""

    def edit(self, board: Storyboard, number: int, wish: str) -> PanelChange:
        """A panel as a wish has it. Raises StoryboardError for what is not understood."""
        ...

    def polish(self, board: Storyboard, number: int) -> PanelChange:
        """The prompt of a panel in the words of the model, within its length."""
        ...


def captions_of(board: Storyboard) -> dict[str, str]:
    """Name -> what stands for it in prompts."""
    return {character.name: character.caption for character in board.characters}


def people_of(board: Storyboard) -> list[str]:
    """Names of the characters that are neither places nor things."""
    return [character.name for character in board.characters if character.kind == "figure"]


def places_in(board: Storyboard, number: int) -> tuple[str, ...]:
    """Names of the places that a panel reads."""
    return board.of_kind(board.panels[number], "place")


def room_for(board: Storyboard, vocabulary: Vocabulary, count: TokenCount) -> Vocabulary:
    """The vocabulary with the tokens that a panel's own words may take beside `trigger`."""
    taken = count(f"{board.trigger},") - count("") if board.trigger else 0
    return vocabulary.model_copy(update={"token_length": vocabulary.token_length - taken})
