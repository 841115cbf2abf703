"""What places and props have in common: drawn once, alone, and read by several panels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_CHARACTERS
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_story.prompts import TokenCount
from lafi_story.steps import Recurring, quoted
from lafi_story.vocabulary import Vocabulary

FEWEST: Final = 2
"""Panels that must show something for it to be drawn once for all of them."""
Kind = Literal["place", "prop"]


_Word = TypeVar("_Word")


def most_shown(shown: Mapping[_Word, list[int]]) -> list[tuple[_Word, list[int]]]:
    """What at least FEWEST panels show, the most shown first."""
    often = [(word, numbers) for word, numbers in shown.items() if len(numbers) >= FEWEST]
    return sorted(often, key=lambda pair: (-len(pair[1]), pair[1]))


def no_room(kind: Kind, left: Sequence[tuple[str, list[int]]]) -> tuple[str, ...]:
    """A note on what a storyboard's characters leave no room for."""
    if not left:
        return ()
    named = ", ".join(f"{word} ({len(numbers)} panels)" for word, numbers in left)
    return (quoted(f"a storyboard has no room for more {kind}s: {named}"),)


def not_drawn(kind: Kind, found: Sequence[Recurring]) -> tuple[str, ...]:
    """A note on what could be drawn once, where the model draws none without anybody."""
    if not found:
        return ()
    named = ", ".join(f"{one.name} ({len(one.panels)} panels)" for one in found)
    return (
        quoted(
            f"{kind}s that recur are drawn anew in each panel, as this model draws none without "
            f"anybody: {named}; --{kind}s has them drawn once"
        ),
    )


def drawn_once(
    kind: Kind, one: Recurring, made: str, vocabulary: Vocabulary, count: TokenCount
) -> Character:
    """The character that stands for it. made: its description where it has none of its own.

    Raises StoryboardError for a description that is longer than the model reads.
    """
    caption = one.prompt or made
    if count(caption) > vocabulary.token_length:
        field = f"{kind}s.yaml: {one.name}.prompt"
        got = Verbatim(f"{count(caption)} tokens")
        raise StoryboardError([problem(field, got, f"at most {vocabulary.token_length}")])
    return Character(name=one.name, kind=kind, prompt=caption)


def with_recurring(
    board: Storyboard, found: Sequence[Character], panels: Sequence[Panel]
) -> Storyboard:
    """The storyboard with these characters behind its own; as it was where there are none."""
    if not found:
        return board
    characters = (*board.characters, *found)
    return Storyboard(title=board.title, characters=characters, panels=tuple(panels))


def problems(kind: Kind, entries: Sequence[Recurring], board: Storyboard) -> Iterator[str]:
    """What is wrong with an edited step, apart from which panels go together."""
    taken = {character.name for character in board.characters}
    room, last = MAX_CHARACTERS - len(taken), len(board.panels) - 1
    if len(entries) > room:
        got = Verbatim(f"{len(entries)} of them")
        allowed = f"at most {room} beside the other characters"
        yield problem(f"{kind}s.yaml: {kind}s", got, allowed)
    for at, one in enumerate(entries):
        field = f"{kind}s.yaml: {kind}s[{at}]"
        if one.name in taken:
            allowed = f"a name that nobody and no other {kind} has"
            yield problem(f"{field}.name", one.name, allowed)
        taken.add(one.name)
        if not (one.prompt or getattr(one, kind)):
            yield problem(f"{field}.{kind}", "", f"a {kind}, or a prompt of its own")
        for number in one.panels:
            if number > last:
                yield problem(f"{field}.panels", number, f"0 to {last}")
