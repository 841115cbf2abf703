"""`DefaultRecipe`: a recipe of the server's, for what storyboards leave unset.

Knows plain data, not requests and not models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi.board.given_fields import given_fields
from lafi.board.negative_lists import negative_lists, negative_prompt
from lafi.board.recipe import NEGATIVE, known_recipes, read_recipe_file
from lafi.board.settings_merge import merged, taken
from lafi.board.storyboard import Storyboard

SETTING = "default_recipe"
"""What errors call it."""


@dataclass(frozen=True, slots=True)
class DefaultRecipe:
    """name: of the recipe. settings: any fields of a storyboard but its title and its content."""

    name: str
    settings: Mapping[str, Any]

    def fill(self, storyboard: Storyboard) -> tuple[Storyboard, tuple[str, ...]]:
        """The storyboard with the recipe's values in unset fields, and a note that names these.

        An explicit value always wins; no note where the recipe sets nothing.
        Raises StoryboardError for values that do not fit together.
        """
        given = given_fields(storyboard)
        names = [*taken({**self.settings}, given)]
        if not names:
            return storyboard, ()
        try:
            made = Storyboard.model_validate(merged({**self.settings}, given))
        except StoryboardError as error:
            why = f"(with {self.name}, the server's default recipe)"
            raise StoryboardError(f"{line} {why}" for line in error.problems) from None
        return made, (f"default recipe of the server: {self.name} sets {', '.join(names)}",)


def load_default_recipe(named: str, folder: Path) -> DefaultRecipe:
    """The recipe of that name, or of that file. folder: to which a file's path is relative.

    Raises StoryboardError for neither, and for a file that is no recipe.
    """
    known = known_recipes()
    file = known.get(named, folder / named)
    if not file.is_file():
        allowed = f"{', '.join(sorted(known))}, or a YAML file{closest(named, known)}"
        raise StoryboardError([problem(SETTING, Verbatim(named), allowed)])
    settings = read_recipe_file(file)
    if NEGATIVE in settings:
        own = settings.get("negative_prompt") or ""
        settings["negative_prompt"] = negative_prompt(own, settings.pop(NEGATIVE), negative_lists())
    return DefaultRecipe(file.stem, settings)
