"""Sets one field of a storyboard's plain data by its path: `sampling.stages.1.denoise=0.5`.

Making the storyboard checks later whether the field exists and the value is allowed.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.file import parse


class Setting(NamedTuple):
    """`path`: field names and list indices (from 0), joined by dots."""

    path: str
    value: Any

    def __str__(self) -> str:
        return f"{self.path}={self.value}"


def parse_setting(text: str, option: str = "--set") -> Setting:
    """Parse `FIELD=VALUE`, the value as YAML. Raises `StoryboardError`."""
    path, value = _parts(text, option, "FIELD=VALUE, such as sampling.guidance=4")
    return Setting(path, _parsed(f"{option} {path}", value))


def parse_variation(text: str, option: str = "--vary") -> list[Setting]:
    """Parse `FIELD=VALUE,VALUE`, one setting per value. Raises `StoryboardError`."""
    allowed = "FIELD=VALUE,VALUE, such as sampling.guidance=2,4,6"
    path, values = _parts(text, option, allowed)
    found = _parsed(f"{option} {path}", f"[{values}]")
    if not found:
        raise StoryboardError([problem(option, text, allowed)])
    return [Setting(path, value) for value in found]


def _parts(text: str, option: str, allowed: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        raise StoryboardError([problem(option, text, allowed)])
    return path, value


def _parsed(field: str, text: str) -> Any:
    try:
        return parse(text)
    except StoryboardError as error:
        raise StoryboardError(f"{field}: {line}" for line in error.problems) from None


def apply_setting(document: dict[Any, Any], setting: Setting) -> None:
    """Change `document` in place. Raises `StoryboardError` for a path that does not exist.

    A field of a `sampling` with stages is set in every stage.
    """
    _set(document, setting.path.split("."), 0, setting.value)


def _set(node: Any, keys: list[str], place: int, value: Any) -> None:
    key, last = keys[place], place == len(keys) - 1
    if isinstance(node, list):
        where = _index(node, keys, place)
        if last:
            node[where] = copy.deepcopy(value)
        else:
            _set(node[where], keys, place + 1, value)
    elif not isinstance(node, dict):
        got = Verbatim(f"{'.'.join(keys[place:])} below a value")
        raise StoryboardError([problem(_name(keys, place), got, "a field of a mapping, or a list")])
    elif last:
        node[key] = copy.deepcopy(value)
    else:
        if node.get(key) is None:
            node[key] = {}
        for child in _children(node[key], keys, place):
            _set(child, keys, place + 1, value)


def _children(child: Any, keys: list[str], place: int) -> list[Any]:
    """Where `keys[place + 1]` is set: in `child`, or in each stage of a sampling."""
    if keys[place] != "sampling" or not isinstance(child, dict):
        return [child]
    stages = child.get("stages")
    if keys[place + 1] != "stages":
        return stages if isinstance(stages, list) else [child]
    if stages is None and place == 0:
        stage = dict(child)
        child.clear()
        child["stages"] = [stage]
    elif stages is None:
        field = ".".join(keys[: place + 1])
        allowed = f"{field} with a field, for every stage: it has no stages of its own"
        raise StoryboardError([problem(_name(keys, len(keys)), Verbatim("stages"), allowed)])
    return [child]


def _index(entries: list[Any], keys: list[str], place: int) -> int:
    key = keys[place]
    if not (key.isdecimal() and int(key) < len(entries)):
        allowed = f"0 to {len(entries) - 1}" if entries else "nothing: it is empty"
        raise StoryboardError([problem(_name(keys, place), key, allowed)])
    return int(key)


def _name(keys: list[str], count: int) -> str:
    return ".".join(keys[:count])
