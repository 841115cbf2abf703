"""Places that several panels show, to be drawn once and read by each of them, so that they stay.

A place at another time of day is another one: a picture that is read brings its light along.
"""

from collections.abc import Iterator
from typing import Final

from lafi.board.error import StoryboardError, problem
from lafi.board.limits import MAX_CHARACTERS
from lafi.board.storyboard import Panel, Storyboard
from lafi_story.naming import free_name
from lafi_story.prompts import TokenCount
from lafi_story.recurring import drawn_once, most_shown, no_room, problems, with_recurring
from lafi_story.steps import Cast, PanelScript, Place, Places, Script
from lafi_story.vocabulary import Vocabulary

_KIND: Final = "place"
_MIDDLE: Final = (0.2, 0.0, 0.8, 1.0)
"""Where the only figure of a panel stands, so that the place is read beside it."""
_NEAR: Final = (0.1, 0.0, 0.9, 1.0)


def find_places(cast: Cast, script: Script) -> Places:
    """The places of at least two panels that have room for one, the most shown first."""
    shown: dict[tuple[str, str], list[int]] = {}
    for number, panel in enumerate(script.panels):
        if panel.place and _has_room(panel):
            shown.setdefault((panel.place, panel.light), []).append(number)
    often = most_shown(shown)
    people = {figure.name for panel in script.panels for figure in panel.figures}
    room = max(0, MAX_CHARACTERS - len(people))
    taken = {person.name for person in cast.characters} | people
    places = tuple(
        Place(
            name=free_name(" ".join(filter(None, (place, light))), taken),
            place=place,
            light=light,
            panels=tuple(numbers),
        )
        for (place, light), numbers in often[:room]
    )
    left = [(" ".join(filter(None, at)), numbers) for at, numbers in often[room:]]
    return Places(places=places, notes=no_room(_KIND, left))


def with_places(
    board: Storyboard,
    script: Script,
    places: Places,
    vocabulary: Vocabulary,
    count: TokenCount,
) -> tuple[Storyboard, tuple[str, ...]]:
    """The storyboard with places as characters of the panels that read them, and notes.

    Raises StoryboardError for edited places that are none.
    """
    if wrong := [*problems(_KIND, places.places, board), *_shared(places, board)]:
        raise StoryboardError(wrong)
    panels, used, notes = list(board.panels), [], []
    for place in places.places:
        full = [n for n in place.panels if len(board.panels[n].characters) > 1]
        notes += [f"panel {n}: {place.name} is not read: no room beside its figures" for n in full]
        readers = [n for n in place.panels if n not in full]
        if not readers:
            continue
        used.append(drawn_once(_KIND, place, drawn_place(place, vocabulary), vocabulary, count))
        for number in readers:
            panels[number] = _reading(panels[number], script.panels[number], place.name)
    return with_recurring(board, used, panels), tuple(notes)


def drawn_place(place: Place, vocabulary: Vocabulary) -> str:
    """`an empty scene on the beach at night`: what is drawn of it alone."""
    where = vocabulary.drawn("places", place.place)
    when = vocabulary.drawn("lights", place.light) if place.light else ""
    return " ".join(filter(None, (vocabulary.nobody, where, when)))


def _has_room(panel: PanelScript) -> bool:
    """Several figures stand side by side over the whole width: nothing beside them is read."""
    return len(panel.figures) < 2


def _reading(panel: Panel, script: PanelScript, name: str) -> Panel:
    """The panel with a place; its prompt stays, as it says already where it is."""
    update: dict[str, object] = {"prompt": panel.prompt, "characters": (*panel.characters, name)}
    if len(panel.characters) == 1:
        box = _NEAR if script.framing == "near" else _MIDDLE
        update["regions"] = {panel.characters[0]: box}
    return Panel.model_validate(update)


def _shared(places: Places, board: Storyboard) -> Iterator[str]:
    where: dict[int, str] = {}
    for at, place in enumerate(places.places):
        for number in place.panels:
            if number in where and number < len(board.panels):
                allowed = f"panels of one place each; it is one of {where[number]}"
                yield problem(f"places.yaml: places[{at}].panels", number, allowed)
            where.setdefault(number, place.name)
