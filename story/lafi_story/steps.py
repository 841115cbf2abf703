"""What the steps give: outline, scenes, characters, panels. Each is an editable file.

Paragraphs are counted from 0 over the whole text, chapter heads and breaks included; ranges include
both ends. Wrong values raise `StoryboardError` with field, value and what is allowed.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, problem
from lafi.board.limits import (
    MAX_CHARACTERS,
    MAX_CHARACTERS_PER_PANEL,
    MAX_PANELS,
    Allowed,
    Name,
    Title,
)

Language = Literal["en", "zh"]
Kind = Literal["text", "head", "break"]
MAX_LINE: Final = 600
"""Characters of a line that is quoted from the text; longer ones are shortened and end in dots."""


def _of_one_line(text: str) -> str:
    if len(text) > 4 * MAX_LINE or any(not c.isprintable() for c in text):
        raise ValueError("no line")
    return text


Words = Annotated[
    str,
    AfterValidator(_of_one_line),
    Allowed(f"at most {4 * MAX_LINE} printable characters on one line"),
]
At = Annotated[int, Field(strict=True, ge=0), Allowed("the number of a paragraph, 0 or more")]


class Paragraph(CheckedModel):
    """A paragraph of the cleaned text, the head of a chapter, or a break such as `* * *`."""

    kind: Kind
    text: str


class Outline(CheckedModel):
    """What was read: `text.txt` beside it holds the paragraphs, with a blank line between two."""

    title: Title = ""
    language: Language
    paragraphs: tuple[Paragraph, ...] = Field(default=(), exclude=True)
    notes: tuple[Words, ...] = ()


class _Range(CheckedModel):
    first: At
    last: At

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise StoryboardError([problem("last", self.last, f"{self.first} or more")])
        return self


class Scene(_Range):
    """Paragraphs at one place and time. place, light: words of the vocabulary; "": not known."""

    place: Words = ""
    light: Words = ""
    why: Words = ""
    """What made the border before it."""


class Scenes(CheckedModel):
    """The scenes in the order of the text."""

    scenes: tuple[Scene, ...] = Field(min_length=1)
    notes: tuple[Words, ...] = ()


class Trait(CheckedModel):
    """What the text says of somebody's looks, and where."""

    slot: Words
    value: Words
    said: Words
    paragraph: At


class Person(CheckedModel):
    """A character: all names that the text has for it, and its looks, merged over the text."""

    name: Name
    aliases: tuple[Words, ...] = Field(min_length=1)
    gender: Literal["female", "male", "unknown"] = "unknown"
    mentions: int = Field(default=0, ge=0)
    prompt: Words = ""
    """Its description in the storyboard; "": made from `looks`."""
    looks: dict[str, str] = Field(default={})
    """Slot of the vocabulary -> value: what holds where the text says several things."""
    said: tuple[Trait, ...] = ()
    contradictions: tuple[Words, ...] = ()


class Cast(CheckedModel):
    """Those who are drawn as characters, the most mentioned first."""

    characters: tuple[Person, ...] = Field(default=(), max_length=MAX_CHARACTERS)
    others: tuple[Words, ...] = ()
    """Names for which a storyboard has no room; they are in no panel."""
    notes: tuple[Words, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [person.name for person in self.characters]
        for place, name in enumerate(names):
            if name in names[:place]:
                field = f"characters[{place}].name"
                raise StoryboardError([problem(field, name, "a name that no other one has")])
        return self


class Line(CheckedModel):
    """What somebody says. `speaker`: a character's name; "": not known."""

    speaker: Words = ""
    text: Words
    paragraph: At


class Figure(CheckedModel):
    """Somebody in a panel; words of the vocabulary; "": not known."""

    name: Name
    action: Words = ""
    mood: Words = ""
    prop: Words = ""


class PanelScript(_Range):
    """A panel: the passage that it shows, and what is to be seen in it."""

    scene: Annotated[int, Field(strict=True, ge=0), Allowed("the number of a scene")]
    sentence: Words
    """The sentence of the text that it shows."""
    figures: tuple[Figure, ...] = Field(default=(), max_length=MAX_CHARACTERS_PER_PANEL)
    place: Words = ""
    light: Words = ""
    framing: Literal["near", "medium", "far"] = "medium"
    lines: tuple[Line, ...] = ()
    prompt: Words = ""
    """The prompt in the storyboard, with {names}; "": made from the above."""


class Script(CheckedModel):
    """The panels in the order of the text."""

    panels: tuple[PanelScript, ...] = Field(min_length=1, max_length=MAX_PANELS)
    notes: tuple[Words, ...] = ()


class Recurring(CheckedModel):
    """What several panels show, to be drawn once."""

    name: Name
    prompt: Words = ""
    """Its description in the storyboard; "": made from its words."""
    panels: tuple[At, ...] = ()
    """The panels that read it, counted from 0."""


class Place(Recurring):
    """A place at one time of day; place, light: of the vocabulary."""

    place: Words = ""
    light: Words = ""


class Prop(Recurring):
    """A thing that somebody has; prop: of the vocabulary."""

    prop: Words = ""


class Places(CheckedModel):
    """The places that stay the same."""

    places: tuple[Place, ...] = Field(default=(), max_length=MAX_CHARACTERS)
    notes: tuple[Words, ...] = ()


class Props(CheckedModel):
    """The things that stay the same."""

    props: tuple[Prop, ...] = Field(default=(), max_length=MAX_CHARACTERS)
    notes: tuple[Words, ...] = ()


def one_line(text: str) -> str:
    """The text as one line of printable characters, not shortened."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def quoted(text: str) -> str:
    """The text as one line of at most MAX_LINE printable characters."""
    line = one_line(text)
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 3].rstrip() + "..."
