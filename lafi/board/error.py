"""`StoryboardError`, and the translation of a failed validation to one line per problem.

Knows pydantic's error types, not storyboards. Every line has the form
`panels[2].sampling.guidance: got nan, allowed: 0 to 30`.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_LINES = 20
"""The most problems in one message: checking ends at the first ones beyond."""

_LONGEST_VALUE = 80
_KEY_OF_MAPPING = "[key]"
"""Pydantic's last part of the place of a mapping's wrong key, which comes before it."""
_PICTURE = {("reference", "data"), ("image", "data")}
_SHORT = {("from", "image"), ("from", "panel"), ("mask", "image"), ("mask", "region")}


class StoryboardError(ValueError):
    """A storyboard, a reference image or an event is not accepted.

    `problems` holds one line per problem: field, value, what is allowed. It takes no more lines
    than MAX_LINES and one, which stands for all that may follow: finding them costs time.
    """

    problems: tuple[str, ...]

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(_one_line(line) for line in islice(problems, MAX_LINES + 1))
        lines = list(self.problems[:MAX_LINES])
        if len(self.problems) > MAX_LINES:
            lines.append(f"and more: checking ended after {MAX_LINES} problems")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type["StoryboardError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


def problem(field: str, got: object, allowed: str) -> str:
    """One line: `field: got VALUE, allowed: ...`, without `field:` for the whole document."""
    prefix = f"{field}: " if field else ""
    return f"{prefix}got {shown(got)}, allowed: {allowed}"


def not_allowed(allowed: str, got: object = None) -> PydanticCustomError:
    """An error for validators to raise: the field does not allow `got` (default: its input)."""
    context = {"allowed": allowed} if got is None else {"allowed": allowed, "got": got}
    return PydanticCustomError("allowed", "allowed: {allowed}", context)


def shown(value: object) -> str:
    """`value` as part of an error line: printable, about 80 characters at most."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        if len(value) <= _LONGEST_VALUE:
            return repr(value)
        return f"{value[:_LONGEST_VALUE]!r}... ({len(value)} characters)"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) > 4 or any(isinstance(v, list | tuple | set | frozenset) for v in value):
            return f"a list of {len(value)}"
        return f"[{', '.join(map(shown, value))}]"
    if value is None:
        return "nothing"
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}"


class Verbatim(str):
    """Words to be shown as they are, where `shown` would quote a value."""


def closest(word: object, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing if no known word is similar."""
    near = difflib.get_close_matches(str(word)[:_LONGEST_VALUE], list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def storyboard_error(root: type[BaseModel], failed: ValidationError, data: Any) -> StoryboardError:
    """Translate pydantic's errors about `data`, which was validated as `root`."""
    return StoryboardError(_lines(root, failed.errors(include_url=False), data))


def _lines(root: type[BaseModel], errors: Sequence[ErrorDetails], data: Any) -> Iterator[str]:
    for error in errors:
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, StoryboardError):
            yield from cause.problems
        elif not _follows(error, errors):
            yield _line(root, error, data)


def _follows(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether an error only follows from another: a list is too short as an entry is wrong."""
    loc = error["loc"]
    if error["type"] == "too_short":
        return any(len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors)
    return error["type"] == "default_factory_not_called"


def _line(root: type[BaseModel], error: ErrorDetails, data: Any) -> str:
    loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
    field = field_path(loc, data)
    if kind == "extra_forbidden":
        model = _model_at(root, loc[:-1])
        names = _names(model) if model else []
        return f"{field}: unknown field, allowed: {', '.join(names)}{closest(loc[-1], names)}"
    if kind == "allowed":
        return problem(field, context.get("got", error["input"]), str(context["allowed"]))
    if kind == "invalid_key":
        return problem(field_path(loc[:-1], data), loc[-1], "field names that are text")
    got: object = None if kind == "missing" else error["input"]
    if kind in ("too_long", "too_short"):
        got = Verbatim(f"{context['actual_length']} entries")
    return problem(field, got, _description(root, loc) or _plain(error["msg"]))


def field_path(loc: Sequence[int | str], data: Any = None) -> str:
    """`("panels", 2, "seed")` as `panels[2].seed`.

    Leaves out parts that are not in the user's text: `stages[0]` if `data` has the short form of a
    sampling, `data` of a picture, and `image`, `panel` or `region` if written without the key.
    """
    path, here, skip = "", data, False
    before: int | str | None = None
    for key in loc:
        flat = key == "stages" and isinstance(here, Mapping) and "stages" not in here
        alone = (before, key) in _SHORT and not isinstance(here, Mapping)
        if not (skip or flat or alone or (before, key) in _PICTURE or key == _KEY_OF_MAPPING):
            path += f"[{key}]" if isinstance(key, int) else f".{_name(key)}"
            here = _child(here, key)
        before, skip = key, flat
    return path.removeprefix(".")


def _child(node: Any, key: int | str) -> Any:
    if isinstance(node, Mapping):
        return node.get(key)
    if isinstance(node, Sequence) and isinstance(key, int) and key < len(node):
        return node[key]
    return None


def _name(key: str) -> str:
    return key if key.isidentifier() and len(key) <= _LONGEST_VALUE else shown(key)


def _model_at(root: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that `loc` leads to, or None."""
    model: type[BaseModel] | None = root
    for key in loc:
        if isinstance(key, int):
            continue
        info = _info(model, key) if model else None
        model = _model_in(info.annotation) if info else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if found := _model_in(part):
            return found
    return None


def _description(root: type[BaseModel], loc: Sequence[int | str]) -> str:
    """What the field at `loc` allows, as text: its description, or its model's fields."""
    if loc and isinstance(loc[-1], str):
        parent = _model_at(root, loc[:-1])
        info = _info(parent, loc[-1]) if parent else None
        if info and info.description:
            return info.description
    model = _model_at(root, loc)
    return f"a mapping with {', '.join(_names(model))}" if model else ""


def _names(model: type[BaseModel]) -> list[str]:
    """Its fields as written in a file: `from` for `source`."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _info(model: type[BaseModel], key: str) -> FieldInfo | None:
    return dict(zip(_names(model), model.model_fields.values(), strict=True)).get(key)


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input should be ")


def _one_line(text: str) -> str:
    """The text as printable UTF-8 without line breaks."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
