"""Loads a storyboard file with its recipe, its negative lists and command-line changes.

The result is a plain `Storyboard`: the server knows nothing of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi.board.file import Document, parse, read_pictures, read_text
from lafi.board.negative_lists import negative_lists, negative_prompt
from lafi.board.recipe import NEGATIVE, read_recipe
from lafi.board.settings_merge import merged
from lafi.board.storyboard import Storyboard, from_document
from lafi_client.field_setting import Setting, apply_setting, parse_setting

RECIPE = "recipe"


@dataclass(frozen=True, slots=True)
class Overrides:
    """Changes to a storyboard file from the command line.

    recipe         replaces the file's `recipe`
    recipes        a folder with the user's recipes
    settings       fields that replace the file's, applied in this order; FIELD=VALUE as text
    trigger        put in front of every prompt of panels and stages, with a comma
    negative_file  more negative lists, or phrases that are always added
    """

    recipe: str | None = None
    recipes: Path | None = None
    settings: tuple[Setting | str, ...] = ()
    trigger: str = ""
    negative_file: Path | None = None


def load_story(path: Path | str, overrides: Overrides | None = None) -> Storyboard:
    """A storyboard from a YAML or JSON file that may name a `recipe` and `negative` lists.

    Raises `StoryboardError`.
    """
    overrides = overrides or Overrides()
    path = Path(path)
    data = parse(read_text(path, "a storyboard file"))
    if not isinstance(data, dict):
        return from_document(Document(data))
    problems = _unknown_fields(data)
    data = _with_recipe(data, overrides)
    for setting in overrides.settings:
        apply_setting(data, parse_setting(setting) if isinstance(setting, str) else setting)
    _add_negative(data, overrides)
    _add_trigger(data, overrides.trigger)
    problems += read_pictures(data, path.parent)
    return from_document(Document(data, problems))


def _unknown_fields(data: dict[Any, Any]) -> list[str]:
    """Errors for misspelt names of the fields that only files have. Removes these fields."""
    known = (RECIPE, NEGATIVE, *Storyboard.model_fields)
    near = {key: closest(key, known) for key in data if key not in known}
    hints = {closest(name, known) for name in (RECIPE, NEGATIVE)}
    found = [key for key, hint in near.items() if hint in hints]
    for key in found:
        del data[key]
    return [f"{key}: unknown field, allowed: {', '.join(known)}{near[key]}" for key in found]


def _with_recipe(data: dict[Any, Any], overrides: Overrides) -> dict[Any, Any]:
    name = data.pop(RECIPE, None)
    if overrides.recipe is not None:
        name = overrides.recipe
    if name is None:
        return data
    try:
        return merged(read_recipe(name, overrides.recipes), data)
    except RecursionError:
        got = Verbatim("a deeply nested file")
        raise StoryboardError([problem("", got, "fewer levels of nesting")]) from None


def _add_negative(data: dict[Any, Any], overrides: Overrides) -> None:
    names = data.pop(NEGATIVE, None)
    if names is None and overrides.negative_file is None:
        return
    own = data.get("negative_prompt") or ""
    if isinstance(own, str):
        lists = negative_lists(overrides.negative_file)
        data["negative_prompt"] = negative_prompt(own, names, lists)


def _add_trigger(data: dict[Any, Any], trigger: str) -> None:
    trigger = trigger.strip().removesuffix(",")
    if not trigger:
        return
    panels = _mappings(data.get("panels"))
    samplings = _mappings([owner.get("sampling") for owner in (data, *panels)])
    stages = [stage for one in samplings for stage in _mappings(one.get("stages", [one]))]
    for owner in (*panels, *stages):
        if isinstance(owner.get("prompt"), str):
            owner["prompt"] = f"{trigger}, {owner['prompt']}"


def _mappings(entries: Any) -> list[dict[Any, Any]]:
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
