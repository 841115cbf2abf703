"""`ProtectedNames`: characters of others, whom a user does not want drawn or wants named anew.

Knows names, not who they belong to: the list is the user's own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from lafi.board.checked_model import CheckedModel
from lafi.board.error import MAX_LINES, StoryboardError, problem
from lafi.board.file import parse, read_text
from lafi.board.limits import Allowed
from lafi.board.storyboard import Storyboard
from lafi_story.steps import Outline, Paragraph, quoted

_CJK: Final = r"\u3400-\u9fff\uf900-\ufaff"
_MOST: Final = 64
_SHOWN: Final = 8
"""Places of a name that a note lists."""
Called = Annotated[
    str,
    Field(min_length=1, max_length=_MOST, strict=True, pattern=r"\S"),
    Allowed(f"a name of 1 to {_MOST} characters"),
]


class ProtectedNames(CheckedModel):
    """refuse: names with which a text is refused. rename: name -> what stands in its place.

    Whole names in any case, in Chinese parts of a text; of two that begin together the longer one.
    """

    refuse: tuple[Called, ...] = ()
    rename: dict[Called, Called] = Field(default={})

    @model_validator(mode="after")
    def _each_once(self) -> "ProtectedNames":
        refused = {_key(name) for name in self.refuse}
        for old, new in self.rename.items():
            if _key(old) in refused:
                raise StoryboardError([problem(f"rename.{old}", new, "a name that is not refused")])
            if self._found(new):
                raise StoryboardError([problem(f"rename.{old}", new, "a name that is free")])
        return self

    def applied(self, outline: Outline) -> tuple[Outline, tuple[str, ...]]:
        """The outline with names in place of those that are renamed, and where, a note for each.

        Raises StoryboardError with a line for each place of a name that is refused.
        """
        self._refuse(outline)
        if not self.rename:
            return outline, ()
        places: dict[tuple[str, str], list[str]] = {}
        title = self._renamed(outline.title, "the title", places)
        paragraphs = tuple(
            Paragraph(kind=p.kind, text=self._renamed(p.text, f"paragraph {number}", places))
            for number, p in enumerate(outline.paragraphs)
        )
        update = {"title": title, "paragraphs": paragraphs}
        return outline.model_copy(update=update), tuple(map(_said, places.items()))

    def check_board(self, board: Storyboard) -> None:
        """Raise StoryboardError for a name in names, descriptions and prompts, as edited steps or
        a language model may bring them in."""
        texts = [(f"characters[{n}].name", one.name) for n, one in enumerate(board.characters)]
        texts += [(f"characters[{n}].prompt", c.prompt) for n, c in enumerate(board.characters)]
        texts += [(f"panels[{n}].prompt", panel.prompt) for n, panel in enumerate(board.panels)]
        lines = [
            problem(field, one.name, "no protected name")
            for field, text in texts
            for one in self._found(text)
        ]
        if lines:
            raise StoryboardError(lines[: MAX_LINES + 1])

    def _refuse(self, outline: Outline) -> None:
        texts = [("the title", outline.title)]
        texts += [(f"paragraph {n}", p.text) for n, p in enumerate(outline.paragraphs)]
        lines = [
            problem(
                f"{where}, character {one.start}",
                one.name,
                f"a text without it ({_around(text, one)})",
            )
            for where, text in texts
            for one in self._found(text)
            if not one.new
        ]
        if lines:
            raise StoryboardError(lines[: MAX_LINES + 1])

    def _renamed(self, text: str, where: str, places: dict[tuple[str, str], list[str]]) -> str:
        found = self._found(text)
        for one in found:
            places.setdefault((one.name, one.new), []).append(f"{where}, character {one.start}")
        for one in reversed(found):
            text = text[: one.start] + one.new + text[one.start + len(one.name) :]
        return text

    def _found(self, text: str) -> "list[_Place]":
        return list(self._places(text))

    def _places(self, text: str) -> "Iterator[_Place]":
        new = {_key(old): name for old, name in self.rename.items()}
        for match in self._pattern.finditer(text):
            yield _Place(match.start(), match[0], new.get(_key(match[0]), ""))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = sorted((*self.refuse, *self.rename), key=len, reverse=True)
        return re.compile("|".join(map(_form, names)) or r"(?!)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """A name as it is written in a text. new: what it is to be; "": it is refused."""

    start: int
    name: str
    new: str


def load_protected(file: Path) -> ProtectedNames:
    """The names of a YAML file with `refuse` and `rename`. Raises StoryboardError."""
    data: Any = parse(read_text(file, "a file of protected names"))
    try:
        if not isinstance(data, dict) or not data:
            raise StoryboardError([problem("", data, "a mapping with refuse, rename or both")])
        found: ProtectedNames = ProtectedNames.model_validate(data)
    except StoryboardError as error:
        raise StoryboardError(f"{file.name}: {line}" for line in error.problems) from None
    return found


def _said(renamed: tuple[tuple[str, str], list[str]]) -> str:
    (old, new), places = renamed
    more = f" and {len(places) - _SHOWN} more places" if len(places) > _SHOWN else ""
    return quoted(f"{old} is {new}: {'; '.join(places[:_SHOWN])}{more}")


def _key(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name.strip()).casefold()


def _form(name: str) -> str:
    parts = r"[\s_]+".join(map(re.escape, re.split(r"[\s_]+", name.strip())))
    before = "" if re.match(f"[{_CJK}]", name.strip()) else rf"(?<![^\W_{_CJK}])"
    after = "" if re.search(f"[{_CJK}]$", name.strip()) else rf"(?![^\W_{_CJK}])"
    return before + parts + after


def _around(text: str, one: _Place) -> str:
    return quoted(text[max(0, one.start - 30) : one.start + len(one.name) + 30])
