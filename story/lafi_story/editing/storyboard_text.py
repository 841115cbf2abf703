"""Changes panels in the text of a storyboard's file and leaves every other character as it is.

YAML or JSON: values are put where the parser says the old ones stand, so comments stay.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import yaml

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.file import parse
from lafi_story.editing.changes import PanelChange

_FIELDS: Final = ("prompt", "characters", "regions", "seed")
Patch = tuple[int, int, str]
"""What comes in place of characters [start, end)."""


def with_changes(text: str, changes: Sequence[PanelChange]) -> str:
    """The text with these panels changed. text: a whole file that `parse` takes.

    Raises StoryboardError where the result would not read as the old data with these changes.
    """
    wanted = copy.deepcopy(parse(text))
    panels: list[dict[str, Any]] = wanted["panels"]
    patches: list[Patch] = []
    try:
        nodes = _value(yaml.compose(text, Loader=yaml.SafeLoader), "panels").value
        for change in changes:
            panel, node = panels[change.number], nodes[change.number]
            for field, value in _given(change):
                if panel.get(field) != value:
                    panel[field] = value
                    patches.append(_patch(text, node, field, value))
    except (yaml.YAMLError, KeyError, AttributeError, IndexError):
        raise _refused() from None
    for start, end, new in sorted(patches, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        found = parse(text)
    except StoryboardError:
        found = None
    if found != wanted:
        raise _refused()
    return text


def _given(change: PanelChange) -> Iterator[tuple[str, Any]]:
    yield "prompt", change.prompt
    if change.characters is not None:
        yield "characters", list(change.characters)
    if change.regions is not None:
        yield "regions", {name: list(box) for name, box in change.regions.items()}
    if change.seed is not None:
        yield "seed", change.seed


def _patch(text: str, panel: Any, field: str, value: Any) -> Patch:
    written = json.dumps(value, ensure_ascii=False)
    try:
        old = _value(panel, field)
    except KeyError:
        return _new_field(text, panel, field, written)
    start, end = _extent(text, old)
    return start, end, written


def _new_field(text: str, panel: Any, field: str, written: str) -> Patch:
    """The field behind the prompt: in a block on a line of its own, with the prompt's comment
    left to the prompt."""
    key = next(key for key, _ in panel.value if key.value == "prompt")
    _, end = _extent(text, _value(panel, "prompt"))
    if panel.flow_style:
        return end, end, f', "{field}": {written}'
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    line -= text[line - 1 : line] == "\r"
    rest = text[end:line].strip()
    at = line if not rest or rest.startswith("#") else end
    return at, at, f"\n{' ' * key.start_mark.column}{field}: {written}"


def _extent(text: str, node: Any) -> tuple[int, int]:
    """Where a value stands, without the blanks and comments that follow it."""
    last = node
    while not isinstance(last, yaml.ScalarNode) and not last.flow_style:
        entry = last.value[-1]
        last = entry[1] if isinstance(entry, tuple) else entry
    start, end = node.start_mark.index, last.end_mark.index
    return start, start + len(text[start:end].rstrip())


def _value(node: Any, field: str) -> Any:
    """Raises KeyError."""
    for key, value in node.value:
        if key.value == field:
            return value
    raise KeyError(field)


def _refused() -> StoryboardError:
    got = Verbatim("a file that cannot be changed in place")
    allowed = f"panels with {', '.join(_FIELDS)} written out, as in the examples"
    return StoryboardError([problem("", got, allowed)])
