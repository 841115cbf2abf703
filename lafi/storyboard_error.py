"""`StoryboardError`, and how a failed validation becomes one line per problem.

Knows pydantic's error types and nothing of storyboards. Every line reads
`panels[2].sampling.guidance: got nan, allowed: 0 to 30`.
"""

import difflib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_LINES = 20
"""Problems listed in one message; more are only counted."""

_LONGEST_VALUE = 80


class StoryboardError(ValueError):
    """A storyboard, a reference image or an event that cannot be accepted.

    `problems` holds one line per problem: the field, what was given, what is allowed.
    """

    problems: tuple[str, ...]

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(_one_line(line) for line in problems)
        shown = list(self.problems[:MAX_LINES])
        if len(self.problems) > MAX_LINES:
            shown.append(f"and {len(self.problems) - MAX_LINES} more problems")
        super().__init__("\n".join(shown))

    def __reduce__(self) -> tuple[type["StoryboardError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


def problem(field: str, got: object, allowed: str) -> str:
    """One line: `field: got VALUE, allowed: ...` (without `field:` for the whole document)."""
    prefix = f"{field}: " if field else ""
    return f"{prefix}got {shown(got)}, allowed: {allowed}"


def not_allowed(allowed: str, got: object = None) -> PydanticCustomError:
    """For a validator to raise: `got` (default: its input) is not what the field allows."""
    context = {"allowed": allowed} if got is None else {"allowed": allowed, "got": got}
    return PydanticCustomError("allowed", "allowed: {allowed}", context)


def shown(value: object) -> str:
    """`value` for one line of an error message: printable, at most 80 characters or so."""
    if isinstance(value, Said):
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
        return _SHORT.repr(value) if len(value) <= 4 else f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, int | float):
        return _SHORT.repr(value)
    return f"a {type(value).__name__}"


class Said(str):
    """Words to be shown as they are, where `shown` would quote a value."""


def closest(word: object, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing when no known word is near."""
    near = difflib.get_close_matches(str(word)[:_LONGEST_VALUE], list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def storyboard_error(root: type[BaseModel], failed: ValidationError, data: Any) -> StoryboardError:
    """Translate what pydantic found in `data`, which should have been a `root`."""
    lines: list[str] = []
    for error in failed.errors(include_url=False):
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, StoryboardError):
            lines.extend(cause.problems)
        else:
            lines.append(_line(root, error, data))
    return StoryboardError(lines)


def _line(root: type[BaseModel], error: ErrorDetails, data: Any) -> str:
    field = field_path(error["loc"], data)
    kind, context, got = error["type"], error.get("ctx", {}), error["input"]
    *parents, name = error["loc"] or ("",)
    if kind == "missing":
        allowed = _description(root, error["loc"]) or "a value, since this field is required"
        return problem(field, None, allowed)
    if kind == "extra_forbidden":
        model = _model_at(root, parents)
        names = list(model.model_fields) if model else []
        hint = closest(name, names)
        return f"{field}: unknown field, allowed: {', '.join(names)}{hint}"
    if kind in ("too_long", "too_short"):
        bound = context.get("max_length", context.get("min_length"))
        most = "at most" if kind == "too_long" else "at least"
        return problem(field, Said(f"{context.get('actual_length')}"), f"{most} {bound}")
    if kind == "allowed":
        return problem(field, context.get("got", got), str(context["allowed"]))
    if kind == "invalid_key":
        return problem(field, got, "a field name that is text")
    return problem(field, got, _description(root, error["loc"]) or _plain(error["msg"]))


def field_path(loc: Sequence[int | str], data: Any = None) -> str:
    """`("panels", 2, "seed")` as `panels[2].seed`.

    Leaves out `stages[0]` where `data` has the flat form of a sampling.
    """
    path, here, skip = "", data, False
    for key in loc:
        if skip:
            skip = False
            continue
        if key == "stages" and isinstance(here, Mapping) and "stages" not in here:
            skip = True
            continue
        path += f"[{key}]" if isinstance(key, int) else f".{_name(key)}"
        here = _child(here, key)
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
        info = model.model_fields.get(key) if model else None
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
    """What the field at `loc` allows, in words: its description, or its model's fields."""
    if loc and isinstance(loc[-1], str):
        model = _model_at(root, loc[:-1])
        info = model.model_fields.get(loc[-1]) if model else None
        return (info.description or "") if info else ""
    model = _model_at(root, loc)
    return f"a mapping with {', '.join(model.model_fields)}" if model else ""


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input should be ")


def _one_line(text: str) -> str:
    """Printable UTF-8 without line breaks, whatever a value or a key held."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LONGEST_VALUE
