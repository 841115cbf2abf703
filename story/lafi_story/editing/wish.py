"""`Wish`: what is to change in a panel, read from a few words, or refused with what may be said."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from lafi.board.error import StoryboardError, problem
from lafi_story.editing.words import VIEWS, Meant, WordFinder
from lafi_story.vocabulary import Vocabulary

FIGURE_KINDS: Final = {"actions": "action", "moods": "mood", "props": "prop"}
SCENE_KINDS: Final = {"places": "place", "lights": "light", "framings": "framing"}
_MARK: Final = re.compile(r"[,;.，；。]|\bbut\b", re.IGNORECASE)
_PENDING: Final = ("remove", "add", "only")
Key = TypeVar("Key")


@dataclass(slots=True)
class Wish:
    """scene: field of a panel -> word. figures: (name, field) -> word. Both: of the vocabulary.

    without: (name or "" for the panel, field, word) that is to be gone.
    """

    scene: dict[str, str] = field(default_factory=dict)
    figures: dict[tuple[str, str], str] = field(default_factory=dict)
    without: set[tuple[str, str, str]] = field(default_factory=set)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    only: list[str] = field(default_factory=list)

    @property
    def people(self) -> bool:
        """Whether it says who is in the panel."""
        return bool(self.add or self.remove or self.only)

    @property
    def empty(self) -> bool:
        """Whether it says nothing."""
        return not (self.scene or self.figures or self.without or self.people)


def read_wish(text: str, present: Sequence[str], cast: Sequence[str], words: Vocabulary) -> Wish:
    """What a text asks for. present: who is in the panel; cast: all of the storyboard.

    Raises StoryboardError for a word that is not understood, for two wishes against each other,
    and where it is not clear whose action, mood or prop is meant.
    """
    text = " ".join(text.replace("’", "'").split())
    found = tuple(WordFinder(words, cast).find(text))
    if strange := _strange(text, found):
        raise _refused(", ".join(strange), cast, words)
    reader = _Reader(text, tuple(present))
    for one in found:
        reader.take(one)
    wish = reader.wish
    if wish.empty:
        raise _refused(text, cast, words)
    for name in (*wish.add, *wish.remove, *wish.only):
        if sum(name in names for names in (wish.add, wish.remove, wish.only)) > 1:
            allowed = "each in it or not, not both"
            raise StoryboardError([problem("the wish", name, allowed)])
    return wish


class _Reader:
    """Goes through a wish from left to right and keeps who is spoken of."""

    def __init__(self, text: str, present: tuple[str, ...]) -> None:
        self.wish = Wish()
        self._text = text
        self._present = present
        self._pending = ""
        self._subject: tuple[str, ...] = ()
        self._named_just_now = False
        self._at = 0

    def take(self, one: Meant) -> None:
        """The next thing that is meant."""
        if _MARK.search(self._text, self._at, one.start):
            self._pending = ""
        self._at = one.end
        if one.kind == "filler":
            return
        if one.kind == "name":
            self._name(one.word)
            return
        self._named_just_now = False
        if one.kind in _PENDING:
            self._pending = one.kind
        elif one.kind in ("leaving", "joining"):
            people = self.wish.remove if one.kind == "leaving" else self.wish.add
            people.extend(n for n in self._who(one) if n not in people)
        elif one.kind == "everybody":
            self._subject = self._present
        elif one.kind == "somebody":
            self._subject = self._subject or self._alone(one)
        elif one.kind in SCENE_KINDS:
            self._scene(SCENE_KINDS[one.kind], one)
        else:
            self._figures(FIGURE_KINDS[one.kind], one)

    def _name(self, name: str) -> None:
        if self._pending:
            people: list[str] = getattr(self.wish, self._pending)
            people.extend([name] if name not in people else [])
        if self._pending != "remove":
            self._subject = (*self._subject, name) if self._named_just_now else (name,)
            self._named_just_now = True

    def _scene(self, place: str, one: Meant) -> None:
        if self._pending == "remove":
            self.wish.without.add(("", place, one.word))
        else:
            self._set(self.wish.scene, place, place, one.word)

    def _figures(self, place: str, one: Meant) -> None:
        gone = self._pending == "remove" and not self._subject
        for name in self._present if gone else self._who(one):
            if self._pending == "remove":
                self.wish.without.add((name, place, one.word))
            else:
                self._set(self.wish.figures, (name, place), f"{place} of {name}", one.word)

    def _set(self, into: dict[Key, str], key: Key, field: str, word: str) -> None:
        if into.setdefault(key, word) != word:
            raise StoryboardError([problem(field, f"{into[key]} and {word}", "one of them")])

    def _who(self, one: Meant) -> tuple[str, ...]:
        return self._subject or self._alone(one)

    def _alone(self, one: Meant) -> tuple[str, ...]:
        """The only one in the panel. Raises StoryboardError where there are others."""
        if len(self._present) == 1:
            return self._present
        got = self._text[one.start : one.end]
        allowed = f"a name before it: {', '.join(self._present) or 'nobody is in this panel'}"
        raise StoryboardError([problem("the wish", got, allowed)])


def _strange(text: str, found: Sequence[Meant]) -> list[str]:
    """The words that nothing was found in."""
    rest = list(text)
    for one in found:
        rest[one.start : one.end] = " " * (one.end - one.start)
    words = "".join(c if c.isalnum() or c in "'’-" else " " for c in rest).split()
    return [word for word in words if any(c.isalnum() for c in word)]


def _refused(got: str, cast: Sequence[str], words: Vocabulary) -> StoryboardError:
    kinds: dict[str, Iterable[str]] = {"light": words.lights, "place": words.places}
    kinds |= {"action": words.actions, "mood": words.moods, "prop": words.props}
    said = [f"{name} ({', '.join(terms)})" for name, terms in kinds.items() if terms]
    views = [view for view in VIEWS if view == "medium" or getattr(words.framings, view)]
    who = f"who is in it (add, without or only: {', '.join(cast) or 'nobody is known'})"
    allowed = f"a change of {', '.join(said)}, framing ({', '.join(views)}), {who}"
    more = "; looks are in characters; --llm URL understands other words"
    return StoryboardError([problem("the wish", got, allowed + more)])
