"""What a storyboard costs is a sum over its pictures."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.cost import storyboard_cost
from lafi.board.storyboard import Character, Panel, Storyboard


def board(count: int = 1, **settings: Any) -> Storyboard:
    given_: dict[str, Any] = {"width": 1000, "height": 1000} | settings
    return Storyboard(panels=[Panel(prompt="a hill")] * count, **given_)


@given(st.integers(1, 64), st.integers(1, 100), st.sampled_from([64, 128, 512]))
def test_it_is_pixels_times_steps_times_panels(panels: int, steps: int, side: int) -> None:
    cost = storyboard_cost(board(panels, sampling={"steps": steps}, width=side, height=side))
    assert cost.megapixel_steps == pytest.approx(panels * steps * side**2 / 1e6)
    assert cost.longest == steps


def test_stages_count_at_their_own_sizes() -> None:
    stages = [
        {"steps": 10, "size": 0.5},
        {"steps": 4, "denoise": 0.5, "size": [2000, 1000]},
        {"steps": 1, "denoise": 0.5},
    ]
    cost = storyboard_cost(board(2, sampling={"stages": stages}))
    assert cost.megapixel_steps == pytest.approx(2 * (10 * 0.25 + 4 * 2.0 + 1))
    assert (cost.steps, cost.longest) == (2 * 15, 15)


def test_retries_and_portraits_count_and_who_is_in_no_panel_does_not() -> None:
    people = [Character(name=name, prompt="a child") for name in ("mia", "bo")]
    panels = [Panel(prompt="{mia} runs"), Panel(prompt="a hill")]
    plain = Storyboard(
        width=1000, height=1000, sampling={"steps": 5}, characters=people, panels=panels
    )
    assert storyboard_cost(plain).megapixel_steps == pytest.approx(5 * (2 + 1))
    again = plain.model_copy(update={"retry_below": 0.5, "retries": 3})
    assert storyboard_cost(again).megapixel_steps == pytest.approx(5 * (4 + 1 + 1))
