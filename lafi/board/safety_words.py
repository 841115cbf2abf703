"""`SafetyWords`: words that a server looks for in prompts, and what it does about them.

Knows words, not pictures: a picture without such a word in its prompt is not judged.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.error import MAX_LINES, StoryboardError, Verbatim, closest, problem, shown
from lafi.board.file import parse, read_text
from lafi.board.limits import Allowed
from lafi.board.stage_checks import stage_fields
from lafi.board.storyboard import Storyboard

SafetySetting = Literal["off", "flag", "refuse"]
SETTINGS: Final[tuple[SafetySetting, ...]] = get_args(SafetySetting)
SAFETY, SAFETY_WORDS = "LAFI_SAFETY", "LAFI_SAFETY_WORDS"
"""Environment variables for the models: the setting, and a file of more words."""
_CJK: Final = "\u3400-\u9fff\uf900-\ufaff"
_BETWEEN: Final = re.compile(rf"(?<=[{_CJK}])[\s\W_]+(?=[{_CJK}])")


_Entry = Annotated[str, Field(min_length=1, max_length=200, strict=True), Allowed("a word")]


class _Languages(CheckedModel):
    en: tuple[_Entry, ...] = ()
    zh: tuple[_Entry, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Both languages."""
        return (*self.en, *self.zh)


class _File(_Languages):
    allow: _Languages = _Languages()
    shipped: bool = Field(default=True, strict=True)


@dataclass(frozen=True)
class SafetyWords:
    """words: those looked for. allow: phrases in which they are none. Case does not matter."""

    words: tuple[str, ...]
    allow: tuple[str, ...] = ()

    def found(self, storyboard: Storyboard) -> Iterator[tuple[str, str]]:
        """Field and word as it is written there, each once: in all texts from which something is
        drawn. Negative prompts, which say what is not to be drawn, titles and names are not read.
        """
        for field, text in _texts(storyboard):
            for word in dict.fromkeys(self.within(text)):
                yield field, word

    def within(self, text: str) -> Iterator[str]:
        """The words of one text."""
        plain = _plain(text)
        free = self._allowed.sub(lambda match: "." * len(match[0]), plain)
        for match in self._pattern.finditer(free):
            yield match[0]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _any_of(self.words)

    @cached_property
    def _allowed(self) -> re.Pattern[str]:
        return _any_of(self.allow)


@dataclass(frozen=True)
class Safety:
    """What a server does: `off` looks for nothing, `flag` says what it finds, `refuse` refuses."""

    setting: SafetySetting = "off"
    words: SafetyWords = SafetyWords(())

    def check(self, storyboard: Storyboard) -> tuple[str, ...]:
        """Notes for `accepted`, one for each word. Raises StoryboardError with `refuse`."""
        if self.setting == "off":
            return ()
        found = list(islice(self.words.found(storyboard), MAX_LINES + 1))
        if self.setting == "refuse" and found:
            allowed = "no word of this server's safety list (safety: refuse)"
            raise StoryboardError(problem(field, word, allowed) for field, word in found)
        return tuple(
            f"safety: {field} has {shown(word)}, a word of this server's list"
            for field, word in found[:MAX_LINES]
        ) + (("safety: and more words",) if len(found) > MAX_LINES else ())


def load_safety(setting: str, file: Path | None = None) -> Safety:
    """The setting with the shipped words and those of a file.

    Raises StoryboardError for another setting, for a file that is none, and for a file with `off`.
    """
    if setting not in SETTINGS:
        allowed = f"{', '.join(SETTINGS)}{closest(setting, SETTINGS)}"
        raise StoryboardError([problem("safety", setting, allowed)])
    known: SafetySetting = setting
    if known == "off":
        if file is not None:
            got = Verbatim(f"{file} with safety: off")
            raise StoryboardError([problem("safety words", got, "a file with flag or refuse")])
        return Safety()
    own = _File() if file is None else _read(file)
    with resources.as_file(resources.files("lafi.board") / "safety") as folder:
        lists = [_read(folder / "words.yaml")] if own.shipped else []
    lists.append(own)
    words = tuple(word for one in lists for word in one.all)
    if not words:
        raise StoryboardError([problem("safety words", Verbatim("no words"), "en, zh or both")])
    return Safety(known, SafetyWords(words, tuple(a for one in lists for a in one.allow.all)))


def _read(file: Path) -> _File:
    data: Any = parse(read_text(file, "a file of safety words"))
    try:
        if not isinstance(data, Mapping):
            raise StoryboardError([problem("", data, "a mapping with en, zh, allow, shipped")])
        found: _File = _File.model_validate(data)
    except StoryboardError as error:
        raise StoryboardError(f"{file.name}: {line}" for line in error.problems) from None
    return found


def _texts(storyboard: Storyboard) -> Iterator[tuple[str, str]]:
    yield "trigger", storyboard.trigger
    for place, character in enumerate(storyboard.characters):
        yield f"characters[{place}].prompt", character.prompt
        yield f"characters[{place}].trigger", character.trigger
    for where, stage in stage_fields("sampling", storyboard.sampling):
        yield f"{where}.prompt", stage.prompt or ""
    for number, panel in enumerate(storyboard.panels):
        yield f"panels[{number}].prompt", panel.prompt
        if panel.sampling is not None:
            for where, stage in stage_fields(f"panels[{number}].sampling", panel.sampling):
                yield f"{where}.prompt", stage.prompt or ""


def _plain(text: str) -> str:
    """In one case and form, without marks that are not seen, and no gaps between Chinese signs."""
    alike = unicodedata.normalize("NFKC", text).casefold()
    seen = "".join(c for c in alike if unicodedata.category(c) not in ("Cf", "Mn", "Me"))
    return _BETWEEN.sub("", seen)


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Longer ones first; English ones as whole words, their blanks and hyphens as any gap."""
    forms = sorted({_plain(word) for word in words} - {""}, key=len, reverse=True)
    return re.compile("|".join(map(_form, forms)) or r"(?!)")


def _form(word: str) -> str:
    parts = [re.escape(part) for part in re.split(r"[\s_-]+", word) if part]
    before = "" if re.match(f"[{_CJK}]", word) else rf"(?<![^\W_{_CJK}])"
    after = "" if re.search(f"[{_CJK}]$", word) else rf"(?![^\W_{_CJK}])"
    return before + r"[\s_-]+".join(parts) + after
