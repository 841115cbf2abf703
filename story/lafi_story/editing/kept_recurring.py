"""Places and props that a panel reads, after a change of the panel: kept where they are still."""

from collections.abc import Iterable
from dataclasses import replace

from lafi.board.storyboard import Storyboard
from lafi_story.editing.changes import PanelChange, places_in
from lafi_story.editing.prompt_reading import PromptReader
from lafi_story.editing.words import WordFinder
from lafi_story.steps import PanelScript
from lafi_story.vocabulary import Vocabulary


def with_recurring(board: Storyboard, change: PanelChange, vocabulary: Vocabulary) -> PanelChange:
    """The change, with the places and props that the panel still reads among its characters.

    In another place or at another time of day it reads no place: the picture would bring both
    along. A prop goes with its word; one whose description has no word of the vocabulary stays.
    """
    number, panel = change.number, board.panels[change.number]
    places, props = places_in(board, number), board.of_kind(panel, "prop")
    if not places and not props:
        return change
    reader = PromptReader(vocabulary)
    old, new = (reader.read(text).script for text in (panel.prompt, change.prompt))
    people = board.figures(panel) if change.characters is None else change.characters
    there = (old.place, old.light) == (new.place, new.light)
    held = _held(new)
    left = [
        name for name in props if (word := _word_of(board, name, vocabulary)) and word not in held
    ]
    notes = [_note(number, places, "it is elsewhere or later")] if places and not there else []
    notes += [_note(number, left, "nobody has it")] if left else []
    stay = [*(places if there else ()), *(name for name in props if name not in left)]
    listed = (*people, *(name for name in stay if name not in people))
    kept = panel.regions if change.regions is None else change.regions
    regions = {name: box for name, box in kept.items() if name in listed}
    changed = change.regions if regions == panel.regions else regions
    return replace(change, characters=listed, regions=changed, notes=(*change.notes, *notes))


def _held(script: PanelScript) -> set[str]:
    return {figure.prop for figure in script.figures}


def _word_of(board: Storyboard, name: str, vocabulary: Vocabulary) -> str:
    """The word of the vocabulary that a prop's description has; "": none."""
    found = WordFinder(vocabulary).find(board.character(name).caption)
    return next((one.word for one in found if one.kind == "props"), "")


def _note(number: int, names: Iterable[str], why: str) -> str:
    return f"panel {number}: {', '.join(names)} is not read any more: {why}"
