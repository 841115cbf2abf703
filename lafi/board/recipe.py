"""Recipes: named settings that a storyboard file builds on, shipped or from a user's folder.

A recipe is a YAML file with any fields of a storyboard except title, characters and panels. Its
name is the name of the file. The user's recipe wins over a shipped one of the same name.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi.board.file import parse, read_pictures, read_text
from lafi.board.storyboard import Storyboard

NEGATIVE = "negative"
_OWN = ("title", "characters", "panels")
"""Fields that belong to a storyboard's content and are not allowed in a recipe."""


def known_recipes(folder: Path | None = None) -> dict[str, Path]:
    """The files of all recipes by name. Raises `StoryboardError` if `folder` is not a folder."""
    if folder is not None and not folder.is_dir():
        raise StoryboardError([problem("--recipes", Verbatim(folder), "a folder with recipes")])
    with resources.as_file(resources.files("lafi.board") / "recipes") as shipped:
        folders = [shipped, *([folder] if folder is not None else [])]
        files = (file for one in folders for file in sorted(one.glob("*.yaml")))
        return {file.stem: file for file in files}


def read_recipe(name: object, folder: Path | None = None) -> dict[Any, Any]:
    """The settings of a recipe, with its pictures loaded. Raises `StoryboardError`."""
    known = known_recipes(folder)
    if not isinstance(name, str) or name not in known:
        allowed = f"{', '.join(sorted(known))}{closest(name, known)}"
        raise StoryboardError([problem("recipe", name, allowed)])
    return read_recipe_file(known[name])


def read_recipe_file(file: Path) -> dict[Any, Any]:
    """The settings of a recipe's file, with its pictures loaded. Raises `StoryboardError`."""
    try:
        data = parse(read_text(file, "a recipe file"))
        problems = _problems(data) or read_pictures(data, file.parent)
        if problems:
            raise StoryboardError(problems)
    except StoryboardError as error:
        raise StoryboardError(f"recipe {file.stem}: {line}" for line in error.problems) from None
    settings: dict[Any, Any] = data
    return settings


def _problems(data: Any) -> list[str]:
    allowed = [name for name in (*Storyboard.model_fields, NEGATIVE) if name not in _OWN]
    if not isinstance(data, dict):
        return [problem("", data, f"a mapping with {', '.join(allowed)}")]
    return [
        f"{key}: unknown field, allowed: {', '.join(allowed)}{closest(key, allowed)}"
        for key in data
        if key not in allowed
    ]
