"""A recipe of the server's fills what storyboards leave unset, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.default_recipe import DefaultRecipe, load_default_recipe
from lafi.board.error import StoryboardError
from lafi.board.given_fields import given_fields
from lafi.board.recipe import known_recipes
from lafi.board.storyboard import Panel, Storyboard

STAGES = [{"steps": 4, "size": 0.5, "guidance": 6.0}, {"steps": 8, "denoise": 0.5}]
RECIPE = DefaultRecipe(
    "house",
    {
        "width": 96,
        "negative_prompt": "blurry",
        "sampling": {"stages": STAGES},
        "injection": {"strength": 0.5},
    },
)
ALL = "default recipe of the server: house sets width, negative_prompt, sampling, injection"


def board(panel: dict[str, Any] | None = None, **fields: Any) -> Storyboard:
    return Storyboard.model_validate({"panels": [{"prompt": "a", **(panel or {})}], **fields})


def guidance(made: Storyboard) -> list[float]:
    (panel,) = made.panels
    return [stage.guidance for stage in made.effective_sampling(panel).stages]


@settings(max_examples=60, deadline=None)
@given(st.from_type(Storyboard))
def test_what_was_given_makes_the_same_storyboard(one: Storyboard) -> None:
    again = Storyboard.model_validate(given_fields(one))
    assert again == one
    assert given_fields(again).keys() == given_fields(one).keys()


@settings(max_examples=60, deadline=None)
@given(st.from_type(Storyboard))
def test_a_recipe_without_fields_changes_nothing(one: Storyboard) -> None:
    assert DefaultRecipe("empty", {}).fill(one) == (one, ())


@settings(max_examples=60, deadline=None)
@given(st.from_type(Storyboard))
def test_a_storyboard_that_sets_everything_is_left_alone(one: Storyboard) -> None:
    whole = Storyboard.model_validate(one.model_dump())
    assert RECIPE.fill(whole) == (whole, ())


def test_unset_fields_take_the_recipes_values_and_the_note_names_them() -> None:
    made, said = RECIPE.fill(board())
    assert said == (ALL,)
    assert (made.width, made.height, made.negative_prompt) == (96, 64, "blurry")
    assert [stage.steps for stage in made.sampling.stages] == [4, 8]
    assert (made.injection.strength, made.injection.layers) == (0.5, "default")


def test_an_explicit_value_wins_even_if_it_is_the_default() -> None:
    made, said = RECIPE.fill(board(width=64, negative_prompt="", injection={"strength": 1.0}))
    assert (made.width, made.negative_prompt, made.injection.strength) == (64, "", 1.0)
    assert said == ("default recipe of the server: house sets sampling",)


@pytest.mark.parametrize(
    ("sampling", "panel", "expected", "named"),
    [
        ({"guidance": 3.0}, {}, [3.0, 3.0], "sampling.stages[0].steps"),
        (None, {"sampling": {"guidance": 2.0}}, [2.0, 2.0], "sampling"),
        ({"stages": [{}, {"guidance": 1.5}]}, {}, [6.0, 1.5], "sampling.stages[0].guidance"),
        ({"stages": [{"guidance": 4.0}]}, {}, [4.0], ""),
        (None, {"sampling": {"stages": [{"guidance": 7.0}]}}, [7.0], "sampling"),
        ({"guidance": 3.0}, {"sampling": {"steps": 9}}, [3.0, 3.0], "sampling.stages[1].steps"),
    ],
)
def test_stages_merge_as_those_of_a_file_do(
    sampling: dict[str, Any] | None, panel: dict[str, Any], expected: list[float], named: str
) -> None:
    own = {} if sampling is None else {"sampling": sampling}
    recipe = DefaultRecipe("house", {"sampling": {"stages": STAGES}})
    made, said = recipe.fill(board(panel, **own))
    assert guidance(made) == expected
    assert named in "".join(said).replace(",", " ").split() or not (named or said)


def test_what_does_not_fit_together_names_the_recipe() -> None:
    recipe = DefaultRecipe("odd", {"sampling": {"stages": [{"size": [64, 64]}]}})
    with pytest.raises(StoryboardError) as refused:
        recipe.fill(board(width=128))
    (line,) = refused.value.problems
    assert line.startswith("panels[0].sampling.size: got [64, 64], allowed: [128, 64]")
    assert line.endswith("(with odd, the server's default recipe)")


@pytest.mark.parametrize("name", sorted(known_recipes()))
def test_shipped_recipes_have_no_lists_left(name: str, tmp_path: Path) -> None:
    recipe = load_default_recipe(name, tmp_path)
    assert recipe.name == name
    assert "negative" not in recipe.settings
    made, _ = recipe.fill(Storyboard(panels=(Panel(prompt="a"),)))
    assert made.sampling.stages != Storyboard(panels=(Panel(prompt="a"),)).sampling.stages


def test_a_file_is_a_recipe_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("negative: [technical-faults]\nnegative_prompt: wet\n")
    recipe = load_default_recipe("mine.yaml", tmp_path)
    assert recipe.name == "mine"
    assert str(recipe.settings["negative_prompt"]).startswith("wet, ")
    (tmp_path / "bad.yaml").write_text("panels: []\n")
    with pytest.raises(StoryboardError, match="recipe bad: panels: unknown field"):
        load_default_recipe("bad.yaml", tmp_path)
    with pytest.raises(StoryboardError, match=r"default_recipe: got progresive, allowed: .*progre"):
        load_default_recipe("progresive", tmp_path)
