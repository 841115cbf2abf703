"""Places and props that a panel reads, after a change of the panel: kept where they are still."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lafi.board.storyboard import Storyboard, mentioned
from lafi_story.editing.changes import Box, PanelChange, places_in
from lafi_story.editing.prompt_reading import PromptReader
from lafi_story.editing.words import WordFinder
from lafi_story.steps import PanelScript
from lafi_story.vocabulary import Vocabulary


def with_recurring(board: Storyboard, change: PanelChange, vocabulary: Vocabulary) -> PanelChange:
    """The change, with the places and props that the panel still reads among its characters.

    In another place or at another time of day it reads no place: the picture would bring both
    along. A prop goes with its word, and is where whoever has it is; one that the new prompt has
    by `{name}`, or whose description has no word of the vocabulary, stays.
    """
    number, panel = change.number, board.panels[change.number]
    places, props = places_in(board, number), board.of_kind(panel, "prop")
    if not places and not props:
        return change
    reader = PromptReader(vocabulary)
    old, new = (reader.read(text).script for text in (panel.prompt, change.prompt))
    people = board.figures(panel) if change.characters is None else change.characters
    there = (old.place, old.light) == (new.place, new.light)
    words = {name: _word_of(board, name, vocabulary) for name in props}
    named, held = mentioned(change.prompt), {figure.prop for figure in new.figures}
    left = [n for n in props if words[n] and words[n] not in held and n not in named]
    notes = [_note(number, places, "it is elsewhere or later")] if places and not there else []
    notes += [_note(number, left, "nobody has it")] if left else []
    stay = [*(places if there else ()), *(name for name in props if name not in left)]
    listed = (*people, *(name for name in stay if name not in people))
    regions = dict(panel.regions if change.regions is None else change.regions)
    # A box that the change itself gives a thing is taken as it is.
    for name in (n for n in props if n not in left and n not in (change.regions or {})):
        own = panel.regions.get(name)
        had = _holders(old, words[name], panel.regions)
        has = _holders(new, words[name], regions)
        box = own if had == has else _box(has)
        regions.pop(name, None)
        regions |= {} if box is None else {name: box}
        if box != own:
            notes.append(f"panel {number}: {name} is now {_where(has)}")
    regions = {name: box for name, box in regions.items() if name in listed}
    changed = None if regions == panel.regions else regions
    return replace(change, characters=listed, regions=changed, notes=(*change.notes, *notes))


def _holders(script: PanelScript, word: str, boxes: Mapping[str, Box]) -> dict[str, Box]:
    """Who has the thing of a word, of those who have a region, and their regions."""
    have = (figure.name for figure in script.figures if word and figure.prop == word)
    return {name: boxes[name] for name in have if name in boxes}


def _box(holders: Mapping[str, Box]) -> Box | None:
    """As `lafi story` has it: of several people one has the thing, in whose region."""
    return next(iter(holders.values())) if len(holders) == 1 else None


def _where(holders: Mapping[str, Box]) -> str:
    return f"in the region of {next(iter(holders))}" if len(holders) == 1 else "without a region"


def _word_of(board: Storyboard, name: str, vocabulary: Vocabulary) -> str:
    """The word of the vocabulary that a prop's description has; "": none."""
    found = WordFinder(vocabulary).find(board.character(name).caption)
    return next((one.word for one in found if one.kind == "props"), "")


def _note(number: int, names: Iterable[str], why: str) -> str:
    return f"panel {number}: {', '.join(names)} is not read any more: {why}"
