"""A panel's script to the fields of a storyboard's panel, as `lafi story` writes them."""

from collections.abc import Mapping

from lafi.board.storyboard import Panel, Storyboard
from lafi_story.editing.changes import Box, PanelChange, captions_of
from lafi_story.prompts import TokenCount, panel_of
from lafi_story.steps import PanelScript
from lafi_story.vocabulary import Vocabulary


def made(
    board: Storyboard, number: int, script: PanelScript, vocabulary: Vocabulary, count: TokenCount
) -> tuple[Panel, tuple[str, ...]]:
    """The panel, and notes on what had no room."""
    notes: list[str] = []
    panel = panel_of(number, script, captions_of(board), vocabulary, count, notes)
    return panel, tuple(notes)


def changed(board: Storyboard, number: int, new: Panel, prompt: str = "") -> PanelChange:
    """What is another one. Regions and a list of characters stay where the same people stay.

    prompt: in place of the new panel's.
    """
    old = board.panels[number]
    people = set(new.characters) != set(board.figures(old))
    regions: dict[str, Box] | None = None
    notes: tuple[str, ...] = ()
    if new.regions != old.regions and (people or not old.regions):
        regions = dict(new.regions)
        said = (
            f"{', '.join(regions)} side by side" if regions else "none, as nobody is beside another"
        )
        notes = (f"panel {number}: its regions are now {said}",)
    listed = people and "characters" in old.model_fields_set
    return PanelChange(
        number, prompt or new.prompt, regions, new.characters if listed else None, notes
    )


def from_left(script: PanelScript, regions: Mapping[str, Box]) -> PanelScript:
    """The figures in the order of their regions, where all of them have one."""
    if any(figure.name not in regions for figure in script.figures):
        return script
    placed = sorted(script.figures, key=lambda f: regions[f.name][0] + regions[f.name][2])
    return script.model_copy(update={"figures": tuple(placed)})
