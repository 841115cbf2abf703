"""Named lists of phrases for negative prompts: those that are shipped, and a user's file.

A YAML file maps names to lists of phrases; it replaces shipped lists of the same name.
Any other file holds one phrase per line; they are always added.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi.board.file import parse, read_text
from lafi.board.limits import MAX_PROMPT_BYTES

_YAML = (".yaml", ".yml", ".json")


class NegativeLists(NamedTuple):
    """`named`: phrases by list name; `added`: phrases that are always added."""

    named: dict[str, tuple[str, ...]]
    added: tuple[str, ...] = ()


def negative_lists(file: Path | None = None) -> NegativeLists:
    """The shipped lists and the lists of `file`. Raises `StoryboardError`."""
    named: dict[str, tuple[str, ...]] = {}
    with resources.as_file(resources.files("lafi.board") / "negatives") as folder:
        for shipped in sorted(folder.glob("*.yaml")):
            named |= _named(shipped)
    if file is None:
        return NegativeLists(named)
    if file.suffix.lower() in _YAML:
        return NegativeLists(named | _named(file))
    lines = (line.strip() for line in read_text(file, "a file of negative prompts").splitlines())
    return NegativeLists(named, tuple(line for line in lines if line and line[0] != "#"))


def negative_prompt(own: str, names: Any, lists: NegativeLists) -> str:
    """`own`, the phrases of the named lists and the added phrases, each once, joined by commas.

    `names` is a list of names, one name, or None. Raises `StoryboardError`.
    """
    wanted = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(wanted, list):
        raise StoryboardError([problem("negative", names, f"a list of {_known(lists)}")])
    unknown = [
        problem(f"negative[{place}]", name, f"{_known(lists)}{closest(name, lists.named)}")
        for place, name in enumerate(wanted)
        if not isinstance(name, str) or name not in lists.named
    ]
    if unknown:
        raise StoryboardError(unknown)
    phrases = [phrase for name in wanted for phrase in lists.named[name]]
    parts = dict.fromkeys([*([own] if own else []), *phrases, *lists.added])
    text = ", ".join(parts)
    size = len(text.encode("utf-8", "replace"))
    if (phrases or lists.added) and size > MAX_PROMPT_BYTES:
        got = Verbatim(f"{size} bytes of {', '.join(wanted) or 'the file'} with negative_prompt")
        raise StoryboardError([problem("negative", got, f"at most {MAX_PROMPT_BYTES} bytes")])
    return text


def _named(file: Path) -> dict[str, tuple[str, ...]]:
    try:
        data = parse(read_text(file, "a file of negative prompts"))
    except StoryboardError as error:
        raise StoryboardError(f"{file.name}: {line}" for line in error.problems) from None
    good = isinstance(data, dict) and all(
        isinstance(name, str)
        and isinstance(phrases, list)
        and all(isinstance(phrase, str) and phrase.strip() for phrase in phrases)
        for name, phrases in data.items()
    )
    if not good:
        raise StoryboardError([problem(file.name, data, "names, each with a list of phrases")])
    return {name: tuple(phrase.strip() for phrase in phrases) for name, phrases in data.items()}


def _known(lists: NegativeLists) -> str:
    return ", ".join(sorted(lists.named))
