"""How a storyboard's settings stand over a recipe's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.settings_merge import merged

RECIPE = {
    "width": 96,
    "injection": {"layers": "decoder", "end": 0.8},
    "sampling": {
        "stages": [{"size": 0.5, "steps": 9, "injection": {"end": 1}}, {"steps": 16, "mask": "m"}]
    },
}
A, B = RECIPE["sampling"]["stages"]  # type: ignore[index]
DATA = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sampling", "stages", "from", "a", 0]), inner)
    ),
    max_leaves=20,
)
MAPPINGS = st.dictionaries(st.sampled_from(["sampling", "injection", "b"]), DATA)


@pytest.mark.parametrize(
    ("own", "stages"),
    [
        ({}, [A, B]),
        ({"steps": 3}, [A | {"steps": 3}, B | {"steps": 3}]),
        (
            {"injection": {"start": 0.1}},
            [A | {"injection": {"end": 1, "start": 0.1}}, B | {"injection": {"start": 0.1}}],
        ),
        ({"stages": {1: {"denoise": 0.5}}}, [A, B | {"denoise": 0.5}]),
        ({"stages": {"0": {"size": [64, 64]}}}, [A | {"size": [64, 64]}, B]),
        ({"stages": [{}, {"steps": 5}]}, [A, B | {"steps": 5}]),
        ({"stages": [{"steps": 5}]}, [{"steps": 5}]),
        ({"stages": [{"steps": 5}] * 3}, [{"steps": 5}] * 3),
        (
            {"stages": [{}, {"mask": {"region": [0, 0, 1, 1]}}]},
            [A, B | {"mask": {"region": [0, 0, 1, 1]}}],
        ),
        ({"stages": [3]}, [3]),
        ({"stages": None}, None),
    ],
)
def test_stages_merge(own: dict[str, Any], stages: Any) -> None:
    assert merged(RECIPE, {"sampling": own})["sampling"]["stages"] == stages


def test_mappings_merge_and_all_else_replaces() -> None:
    own = {"injection": {"layers": [1, 2]}, "width": 64, "panels": [{"prompt": "a"}]}
    assert merged(RECIPE, own) == RECIPE | {
        "injection": {"layers": [1, 2], "end": 0.8},
        "width": 64,
        "panels": [{"prompt": "a"}],
    }
    assert merged(RECIPE, {"sampling": 3})["sampling"] == 3
    short = {"sampling": {"steps": 9}}
    assert merged(short, {"sampling": {"guidance": 2}}) == {
        "sampling": {"stages": [{"steps": 9, "guidance": 2}]}
    }


def test_one_of_several_forms_replaces_another() -> None:
    base = {"sampling": {"stages": [{"from": {"image": "a.png"}}]}}
    own = {"sampling": {"from": {"panel": 1}}}
    assert merged(base, own) == {"sampling": {"stages": [{"from": {"panel": 1}}]}}


@pytest.mark.parametrize("place", [2, -1, "x"])
def test_a_stage_that_is_not_there_is_named(place: object) -> None:
    match = r"^sampling.stages: got .*, allowed: 0 to 1, the stages of the recipe$"
    with pytest.raises(StoryboardError, match=match):
        merged(RECIPE, {"sampling": {"stages": {place: {}}}})


@given(MAPPINGS, MAPPINGS)
def test_neither_is_changed_and_nothing_over_something_is_itself(
    base: dict[str, Any], own: dict[str, Any]
) -> None:
    before = copy.deepcopy((base, own))
    try:
        made = merged(base, own)
    except StoryboardError as error:
        assert "the stages of the recipe" in str(error)
    else:
        assert made.keys() == base.keys() | own.keys()
        for key in own.keys() - base.keys():
            assert made[key] == own[key]
    assert (base, own) == before
    assert merged(base, {}) == base
    assert merged({}, own) == own
