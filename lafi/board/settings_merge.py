"""Merges a storyboard's settings into those of a recipe, as plain data. Knows no names of fields
except those of stages.

Mappings merge key by key; any other value of the storyboard replaces the recipe's. The stages
of `sampling` merge like this:

- `sampling: {guidance: 3}`, the short form, changes every stage of the recipe;
- `stages: {1: {denoise: 0.5}}` changes the named stages, counted from 0;
- a list with as many stages as the recipe has merges stage by stage;
- any other list replaces them all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeGuard

from lafi.board.error import StoryboardError, problem

_WHOLE = ("from", "mask")
"""Mappings with several forms; they are replaced whole, as parts of two forms do not mix."""


def merged(base: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    """A copy of `base` with `own` merged in. Raises `StoryboardError` for an unknown stage."""
    result = copy.deepcopy(base)
    for key, value in own.items():
        result[key] = _value(key, result.get(key), value)
    return result


def taken(base: dict[Any, Any], own: dict[Any, Any], place: str = "") -> Iterator[str]:
    """The names of the fields of `merged(base, own)` that come from `base`."""
    for key, value in base.items():
        name = f"{place}{key}"
        if key not in own:
            yield name
        elif key == "sampling" and isinstance(value, dict) and isinstance(own[key], dict):
            yield from _stages_taken(value, own[key], name)
        elif isinstance(value, dict) and isinstance(own[key], dict) and key not in _WHOLE:
            yield from taken(value, own[key], f"{name}.")


def _stages_taken(base: dict[Any, Any], own: dict[Any, Any], name: str) -> Iterator[str]:
    stages, given = base.get("stages", [base]), own.get("stages", own)
    if isinstance(given, dict):
        given = [given] * len(stages)
    if len(given) == len(stages):
        for place, (stage, one) in enumerate(zip(stages, given, strict=True)):
            yield from taken(stage, one, f"{name}.stages[{place}].")


def _value(key: Any, base: Any, own: Any) -> Any:
    both = isinstance(base, dict) and isinstance(own, dict)
    if both and key == "sampling":
        return _sampling(base, own)
    return merged(base, own) if both and key not in _WHOLE else copy.deepcopy(own)


def _sampling(base: dict[Any, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    stages = base.get("stages", [base])
    if not _are_mappings(stages):
        return copy.deepcopy(own)
    given = own.get("stages")
    if "stages" not in own:
        return {"stages": [merged(stage, own) for stage in stages]}
    if isinstance(given, dict):
        return {**own, "stages": _by_place(stages, given)}
    if _are_mappings(given) and len(given) == len(stages):
        pairs = zip(stages, given, strict=True)
        return {**own, "stages": [merged(stage, one) for stage, one in pairs]}
    return copy.deepcopy(own)


def _by_place(stages: list[Any], given: dict[Any, Any]) -> list[Any]:
    result = copy.deepcopy(stages)
    for key, one in given.items():
        place = int(key) if str(key).isdecimal() else -1
        if not 0 <= place < len(result):
            allowed = f"0 to {len(result) - 1}, the stages of the recipe"
            raise StoryboardError([problem("sampling.stages", key, allowed)])
        result[place] = _value(place, result[place], one)
    return result


def _are_mappings(stages: Any) -> TypeGuard[list[dict[Any, Any]]]:
    return isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages)
