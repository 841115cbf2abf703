"""Places that several panels show, to be drawn once and read by each of them, so that they stay.

A place at another time of day is another one: a picture that is read brings its light along.
"""

from collections.abc import Iterator
from typing import Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_CHARACTERS
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_story.naming import free_name
from lafi_story.prompts import TokenCount
from lafi_story.steps import Cast, PanelScript, Place, Places, Script, quoted
from lafi_story.vocabulary import Vocabulary

FEWEST: Final = 2
"""Panels that a place must have to be drawn once for all of them."""
_MIDDLE: Final = (0.2, 0.0, 0.8, 1.0)
"""Where the only figure of a panel stands, so that the place is read beside it."""
_NEAR: Final = (0.1, 0.0, 0.9, 1.0)


def find_places(cast: Cast, script: Script) -> Places:
    """The places of at least FEWEST panels that have room for one, the most shown first."""
    shown: dict[tuple[str, str], list[int]] = {}
    for number, panel in enumerate(script.panels):
        if panel.place and _has_room(panel):
            shown.setdefault((panel.place, panel.light), []).append(number)
    often = [(at, numbers) for at, numbers in shown.items() if len(numbers) >= FEWEST]
    often.sort(key=lambda pair: (-len(pair[1]), pair[1]))
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
    left = [f"{' '.join(filter(None, at))} ({len(numbers)} panels)" for at, numbers in often[room:]]
    notes = (f"a storyboard has no room for more places: {', '.join(left)}",) if left else ()
    return Places(places=places, notes=tuple(map(quoted, notes)))


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
    if problems := list(_problems(places, board)):
        raise StoryboardError(problems)
    panels, used, notes = list(board.panels), list(board.characters), []
    for place in places.places:
        full = [n for n in place.panels if len(board.panels[n].characters) > 1]
        notes += [f"panel {n}: {place.name} is not read: no room beside its figures" for n in full]
        readers = [n for n in place.panels if n not in full]
        if not readers:
            continue
        caption = place.prompt or drawn_place(place, vocabulary)
        if count(caption) > vocabulary.token_length:
            got = Verbatim(f"{count(caption)} tokens")
            allowed = f"at most {vocabulary.token_length}"
            raise StoryboardError([problem(f"places.yaml: {place.name}.prompt", got, allowed)])
        used.append(Character(name=place.name, kind="place", prompt=caption))
        for number in readers:
            panels[number] = _reading(panels[number], script.panels[number], place.name)
    if len(used) == len(board.characters):
        return board, tuple(notes)
    made = Storyboard(title=board.title, characters=tuple(used), panels=tuple(panels))
    return made, tuple(notes)


def not_drawn(places: Places) -> tuple[str, ...]:
    """A note on places that could be drawn once, where the model draws none without anybody."""
    if not places.places:
        return ()
    named = ", ".join(f"{one.name} ({len(one.panels)} panels)" for one in places.places)
    return (
        quoted(
            f"places that recur are drawn anew in each panel, as this model draws none without "
            f"anybody: {named}; --places has them drawn once"
        ),
    )


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


def _problems(places: Places, board: Storyboard) -> Iterator[str]:
    taken = {character.name for character in board.characters}
    room, where, last = MAX_CHARACTERS - len(taken), dict[int, str](), len(board.panels) - 1
    if len(places.places) > room:
        got, allowed = (
            Verbatim(f"{len(places.places)} of them"),
            f"at most {room} beside the people",
        )
        yield problem("places.yaml: places", got, allowed)
    for at, place in enumerate(places.places):
        field = f"places.yaml: places[{at}]"
        if place.name in taken:
            yield problem(f"{field}.name", place.name, "a name that nobody and no other place has")
        taken.add(place.name)
        if not (place.place or place.prompt):
            yield problem(f"{field}.place", place.place, "a place, or a prompt of its own")
        for number in place.panels:
            if number > last:
                yield problem(f"{field}.panels", number, f"0 to {last}")
            elif number in where:
                allowed = f"panels of one place each; it is one of {where[number]}"
                yield problem(f"{field}.panels", number, allowed)
            where.setdefault(number, place.name)
