"""Places that a panel reads, after a change of the panel: kept where it is still there and then."""

from dataclasses import replace

from lafi.board.storyboard import Storyboard
from lafi_story.editing.changes import PanelChange, places_in
from lafi_story.editing.prompt_reading import PromptReader
from lafi_story.vocabulary import Vocabulary


def with_places(board: Storyboard, change: PanelChange, vocabulary: Vocabulary) -> PanelChange:
    """The change, with the places that the panel still reads among its characters.

    In another place or at another time of day it reads none: the picture would bring both along.
    """
    number, panel = change.number, board.panels[change.number]
    places = places_in(board, number)
    if not places:
        return change
    reader = PromptReader(vocabulary)
    old, new = (reader.read(text).script for text in (panel.prompt, change.prompt))
    people = board.figures(panel) if change.characters is None else change.characters
    if (old.place, old.light) == (new.place, new.light):
        return replace(change, characters=(*people, *(n for n in places if n not in people)))
    note = f"panel {number}: {', '.join(places)} is not read any more: it is elsewhere or later"
    return replace(change, characters=tuple(people), notes=(*change.notes, note))
