"""Figures are read in their regions, a prop with them, a place where neither is."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import picture

from lafi.board.storyboard import Storyboard
from lafi.conditioning.routing import region_weights
from lafi.drawing.reading_regions import reading_regions

CELLS = (8, 12)
CAST: list[dict[str, Any]] = [
    {"name": "mia", "prompt": "a girl", "reference": picture(1, 16, 16)},
    {"name": "tom", "prompt": "a man", "reference": picture(2, 16, 16)},
    {"name": "harbour", "prompt": "a harbour", "kind": "place", "reference": picture(3, 16, 16)},
    {"name": "kite", "prompt": "a kite", "kind": "prop", "reference": picture(4, 16, 16)},
]


def regions(prompt: str = "{mia} and {tom} in {harbour}", **boxes: Any) -> dict[str, torch.Tensor]:
    panel = {"prompt": prompt, "regions": boxes}
    board = Storyboard.model_validate({"characters": CAST, "panels": [panel]})
    (only,) = board.panels
    return dict(zip(only.characters, reading_regions(board, only, CELLS), strict=True))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, ...]:
    x0, y0 = (draw(st.integers(0, 9)) / 10 for _ in range(2))
    x1, y1 = (draw(st.integers(1, 10)) / 10 for _ in range(2))
    return (min(x0, x1 - 0.1), min(y0, y1 - 0.1), max(x1, x0 + 0.1), max(y1, y0 + 0.1))


@settings(deadline=None, max_examples=60)
@given(boxes(), boxes())
def test_a_place_is_read_where_no_figure_is(mia: Any, tom: Any) -> None:
    mia, tom = ([min(1.0, max(0.0, side)) for side in box] for box in (mia, tom))
    found = regions(mia=mia, tom=tom)
    assert torch.equal(found["mia"], region_weights(tuple(mia), CELLS))
    assert torch.equal(found["tom"], region_weights(tuple(tom), CELLS))
    most = torch.maximum(found["mia"], found["tom"])
    torch.testing.assert_close(found["harbour"], 1.0 - most)


def test_figures_without_a_region_leave_the_place_all_of_the_panel() -> None:
    assert all(torch.equal(weights, torch.ones(CELLS)) for weights in regions().values())
    found = regions(mia=[0, 0, 0.5, 1])
    assert torch.equal(found["tom"], torch.ones(CELLS))
    assert torch.equal(found["harbour"], 1.0 - found["mia"])


def test_a_place_may_have_a_region_of_its_own() -> None:
    found = regions(mia=[0, 0, 0.5, 1], harbour=[0, 0, 1, 0.5])
    assert torch.equal(found["harbour"], region_weights((0, 0, 1, 0.5), CELLS))


@settings(deadline=None, max_examples=60)
@given(boxes(), boxes(), boxes())
def test_a_prop_is_read_with_the_figures_or_in_its_own_region(
    mia: Any, tom: Any, kite: Any
) -> None:
    mia, tom, kite = ([min(1.0, max(0.0, side)) for side in box] for box in (mia, tom, kite))
    all_of_them = "{mia} and {tom} with {kite} in {harbour}"
    found = regions(all_of_them, mia=mia, tom=tom)
    assert torch.equal(found["kite"], torch.maximum(found["mia"], found["tom"]))
    torch.testing.assert_close(found["harbour"], 1.0 - found["kite"])
    found = regions(all_of_them, mia=mia, tom=tom, kite=kite)
    assert torch.equal(found["kite"], region_weights(tuple(kite), CELLS))
    most = torch.stack([found[name] for name in ("mia", "tom", "kite")]).amax(0)
    torch.testing.assert_close(found["harbour"], 1.0 - most)


def test_a_prop_with_nobody_or_with_somebody_anywhere_is_read_everywhere() -> None:
    everywhere = torch.ones(CELLS)
    assert torch.equal(regions("{kite} in {harbour}")["kite"], everywhere)
    assert torch.equal(
        regions("{mia} and {tom} with {kite}", mia=[0, 0, 1, 0.5])["kite"], everywhere
    )
