"""Reads storyboards in YAML or JSON to plain data, with the images that they name.

Does not know the fields of a storyboard. YAML is the safe subset, without anchors, aliases and
repeated keys, so that a small file cannot expand to a huge one.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from lafi.board.error import StoryboardError, Verbatim, problem, shown
from lafi.board.image_file import FORMAT_NAMES, ImageFileError
from lafi.board.limits import MAX_FILE_BYTES, MAX_REFERENCE_BYTES
from lafi.board.picture_slots import PictureSlot, put_pictures

_TOO_DEEP = "fewer levels of nesting"
_JSON_START = re.compile(r'\s*\{\s*["}]')


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data of one storyboard, and the problems with the files that it names."""

    data: Any
    problems: list[str] = field(default_factory=list)


def read_storyboard_file(path: Path) -> Document:
    """Read a YAML or JSON file and the images it names. Raises `StoryboardError`."""
    return read_document(read_text(path, "a storyboard file"), path.parent)


def read_document(text: str, folder: Path | None) -> Document:
    """Parse YAML or JSON; loads the file for each path in a picture slot."""
    data = parse(text)
    return Document(data, [] if folder is None else read_pictures(data, folder))


def read_text(path: Path, what: str) -> str:
    """The text of a file of at most 1 MiB. Raises `StoryboardError`. what: the expected file."""
    try:
        raw = _read_limited(path, MAX_FILE_BYTES)
    except _UnreadableError as error:
        raise StoryboardError([problem("", Verbatim(path), f"{what} ({error})")]) from None
    return decode_utf8(raw, "the file")


def parse(text: str) -> Any:
    """Plain data from YAML or JSON. Raises `StoryboardError` with line and column."""
    if len(text) > MAX_FILE_BYTES:
        raise StoryboardError(
            [problem("", Verbatim(f"{len(text)} characters"), f"at most {MAX_FILE_BYTES}")]
        )
    if not _JSON_START.match(text):
        return _parse_yaml(text)
    try:
        return parse_json(text)
    except StoryboardError as not_json:
        try:
            return _parse_yaml(text)
        except StoryboardError:
            raise not_json from None


def read_pictures(data: Any, folder: Path) -> list[str]:
    """Load the files that picture slots name into the slots. Returns a line per refused file.

    A file that several slots name is read once.
    """
    files: dict[str, bytes] = {}

    def find(slot: PictureSlot) -> bytes | None:
        named = slot.value
        if not isinstance(named, str):
            return None
        try:
            if named not in files:
                files[named] = _read_limited(folder / named, MAX_REFERENCE_BYTES)
        except _UnreadableError as error:
            raise ImageFileError(shown(named), f"{FORMAT_NAMES} file ({error})") from None
        return files[named]

    return put_pictures(data, find)


def decode_utf8(raw: bytes, what: str) -> str:
    """Text without a byte order mark. Raises `StoryboardError` with the offset of a bad byte."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = Verbatim(f"byte 0x{raw[error.start]:02x} at offset {error.start}")
        raise StoryboardError([problem(what, got, "valid UTF-8")]) from None


def parse_json(text: str) -> Any:
    """JSON without repeated keys. Raises `StoryboardError` with line and column."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        _broken("JSON", error.lineno, error.colno, error.msg)
    except RecursionError:
        raise StoryboardError([problem("", Verbatim("deeply nested JSON"), _TOO_DEEP)]) from None
    except StoryboardError:
        raise
    except ValueError as error:
        raise StoryboardError([problem("", Verbatim("broken JSON"), str(error))]) from None


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        _broken("YAML", line, column, error.problem or error.context or "not understood")
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        column = error.position - (before.rfind("\n") + 1) + 1
        _broken("YAML", line, column, f"character U+{error.character:04X} is not allowed")
    except yaml.YAMLError as error:
        raise StoryboardError([problem("", Verbatim("broken YAML"), str(error))]) from None
    except RecursionError:
        raise StoryboardError([problem("", Verbatim("deeply nested YAML"), _TOO_DEEP)]) from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # PyYAML's constructors raise these for values such as !!int x or 2024-99-99.
        raise StoryboardError(
            [problem("", Verbatim("a value that is no YAML"), f"plain YAML ({error})")]
        ) from None


def _broken(language: str, line: int, column: int, reason: str) -> NoReturn:
    raise StoryboardError(
        [f"line {line}, column {column}: got broken {language} ({reason}), allowed: YAML or JSON"]
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StoryboardError([problem(key, Verbatim("the field twice"), "each field once")])
        found[key] = value
    return found


class _Loader(yaml.SafeLoader):
    """The safe loader without anchors, aliases, merges, dates and repeated keys.

    Plain scalars follow YAML 1.2: `no` and `12:30` are text, `1e-3` is a number.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, "anchors (&) and aliases (*) are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key in seen:
                text = "a key that is no text" if key is None else f"the field {key!r} twice"
                raise yaml.constructor.ConstructorError(None, None, text, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class _UnreadableError(Exception):
    """A short reason why a file could not be read."""


def _read_limited(path: Path, limit: int) -> bytes:
    try:
        if not path.exists():
            raise _UnreadableError("no such file")
        if not path.is_file():
            raise _UnreadableError("not a file")
        with path.open("rb") as stream:
            raw = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _UnreadableError(reason) from None
    if len(raw) > limit:
        raise _UnreadableError(f"it is larger than {limit // 2**20} MiB")
    return raw
