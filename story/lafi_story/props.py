"""Things that several panels show, to be drawn once and read by each of them, so that they stay.

One word of the vocabulary is one thing, whoever has it; who wants two of it says so in the step.
"""

from typing import Final

from lafi.board.error import StoryboardError
from lafi.board.limits import MAX_CHARACTERS, MAX_CHARACTERS_PER_PANEL
from lafi.board.placed_object import occurrences
from lafi.board.storyboard import Panel, Storyboard
from lafi_story.naming import free_name
from lafi_story.prompts import TokenCount
from lafi_story.recurring import drawn_once, most_shown, no_room, problems, with_recurring
from lafi_story.steps import Cast, PanelScript, Places, Prop, Props, Script
from lafi_story.vocabulary import Vocabulary

_KIND: Final = "prop"


def find_props(cast: Cast, script: Script, places: Places) -> Props:
    """The things of at least two panels, the most shown first, as far as people and places leave
    a storyboard room."""
    shown: dict[str, list[int]] = {}
    for number, panel in enumerate(script.panels):
        for word in dict.fromkeys(figure.prop for figure in panel.figures if figure.prop):
            shown.setdefault(word, []).append(number)
    people = {figure.name for panel in script.panels for figure in panel.figures}
    others = people | {place.name for place in places.places}
    room = max(0, MAX_CHARACTERS - len(others))
    taken = {person.name for person in cast.characters} | others
    often = most_shown(shown)
    props = tuple(
        Prop(name=free_name(word, taken), prop=word, panels=tuple(numbers))
        for word, numbers in often[:room]
    )
    return Props(props=props, notes=no_room(_KIND, often[room:]))


def with_props(
    board: Storyboard, script: Script, props: Props, vocabulary: Vocabulary, count: TokenCount
) -> tuple[Storyboard, tuple[str, ...]]:
    """The storyboard with things as characters of the panels that read them, and notes.

    Raises StoryboardError for edited things that are none.
    """
    if wrong := list(problems(_KIND, props.props, board)):
        raise StoryboardError(wrong)
    panels, used, notes = list(board.panels), [], []
    for prop in props.props:
        readers = []
        for number in dict.fromkeys(prop.panels):
            if why := _unread(prop, panels[number], script.panels[number], vocabulary):
                notes.append(f"panel {number}: {prop.name} is not read: {why}")
            else:
                readers.append(number)
        if not readers:
            continue
        used.append(drawn_once(_KIND, prop, drawn_prop(prop, vocabulary), vocabulary, count))
        for number in readers:
            panels[number] = _reading(panels[number], script.panels[number], prop)
    return with_recurring(board, used, panels), tuple(notes)


def drawn_prop(prop: Prop, vocabulary: Vocabulary) -> str:
    """`a red ball`: what is drawn of it alone."""
    term = vocabulary.props.get(prop.prop)
    alone = "" if term is None else term.alone
    return alone or vocabulary.drawn("props", prop.prop)


def _unread(prop: Prop, panel: Panel, script: PanelScript, vocabulary: Vocabulary) -> str:
    """Why a panel cannot read it; "": it does."""
    if len(panel.characters) >= MAX_CHARACTERS_PER_PANEL:
        return "no room beside its characters"
    # A prompt that somebody wrote, and a thing with a word of its own, are taken at their word.
    said = script.prompt or not prop.prop
    drawn = vocabulary.drawn("props", prop.prop)
    return "" if said or occurrences(drawn, panel.prompt) else "its prompt does not have it"


def _reading(panel: Panel, script: PanelScript, prop: Prop) -> Panel:
    """The panel with a thing; its prompt stays. Of several people one has it, in whose region."""
    holders = [f.name for f in script.figures if f.prop == prop.prop and f.name in panel.regions]
    regions = dict(panel.regions)
    if len(holders) == 1:
        regions[prop.name] = regions[holders[0]]
    update = {"prompt": panel.prompt, "characters": (*panel.characters, prop.name)}
    return Panel.model_validate(update | ({"regions": regions} if regions else {}))
