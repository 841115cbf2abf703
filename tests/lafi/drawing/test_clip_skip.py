"""`clip_skip`: what diffusers' own pipelines draw with the same number, and what is refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drawn_twice import distance, drawn_by_engines, drawn_by_stock, stock_pipeline
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.check import check_drawable
from lafi.drawing.content_address import content_address
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.check import model_problems
from lafi.model.info import ModelInfo

MOST = {"sd15": 2, "sdxl": 1}
"""Of the small checkpoints, whose encoders have two layers."""


@pytest.fixture(scope="module", params=[*MOST])
def model(request: pytest.FixtureRequest, small_checkpoints: Callable[[str], Path]) -> Any:
    """Name, diffusers' own pipeline and our engines of one checkpoint."""
    folder = small_checkpoints(request.param)
    pipe = stock_pipeline(folder)
    if request.param == "sd15" and not hasattr(pipe.text_encoder, "text_model"):
        # diffusers looks for the norm where transformers had it before 5.
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    return request.param, pipe, load_torch_engines(folder)


@pytest.mark.parametrize("negative", ["", "a night"])
def test_a_prompt_is_drawn_as_by_the_stock_pipeline(model: Any, negative: str) -> None:
    name, pipe, engines = model
    drawn = []
    for skip in range(MOST[name] + 1):
        ours = drawn_by_engines(engines, clip_skip=skip, negative_prompt=negative)
        theirs = drawn_by_stock(pipe, clip_skip=skip, negative_prompt=negative or None)
        assert distance(ours, theirs) <= 2
        drawn.append(ours)
    assert all(distance(one, other) > 2 for one, other in pairwise(drawn))


def test_more_than_the_model_has_is_refused(model: Any) -> None:
    name, _, engines = model
    assert engines.info.most_clip_skip == MOST[name]
    for found in (MOST[name] + 1, 40):
        allowed = f"clip_skip: got {found}, allowed: 0 to {MOST[name]} with"
        with pytest.raises(StoryboardError, match=allowed):
            drawn_by_engines(engines, clip_skip=found)


@pytest.mark.parametrize("value", [-1, 1.5, "2", True, 99])
def test_what_is_no_number_of_layers_is_refused(value: object) -> None:
    with pytest.raises(StoryboardError, match=r"clip_skip: got .*, allowed: a whole number, 0 to"):
        Storyboard(panels=[Panel(prompt="a child")], clip_skip=value)


def test_an_earlier_export_says_how_it_is_made_to_work(small_model: ModelInfo) -> None:
    board = Storyboard(panels=[Panel(prompt="a child")], clip_skip=1)
    (line,) = model_problems(board, small_model)
    assert line.startswith(f"clip_skip: got 1, allowed: 0 with {small_model.name}, which was")
    assert "lafi export CHECKPOINT --out REPOSITORY" in line
    assert not model_problems(board.model_copy(update={"clip_skip": 0}), small_model)


def test_a_stage_of_a_variant_is_asked_too(model: Any) -> None:
    _, _, engines = model
    old = replace(engines, info=engines.info.model_copy(update={"most_clip_skip": 0}))
    board = Storyboard(
        width=64,
        height=64,
        clip_skip=1,
        injection={"layers": "none"},
        sampling={"stages": [{"size": 0.5, "variant": "old"}, {"denoise": 0.5}]},
        panels=[Panel(prompt="a child")],
    )
    with pytest.raises(StoryboardError, match="clip_skip: got 1, allowed: 0 with"):
        check_drawable(board, {"": engines, "old": old})


def test_it_is_in_the_address_only_where_it_skips(small_model: ModelInfo) -> None:
    models: Mapping[str, ModelInfo] = {"": small_model}
    board = Storyboard(panels=[Panel(prompt="a child")])
    addresses = [
        content_address(each, each.panels[0], models)
        for each in (board, *(board.model_copy(update={"clip_skip": n}) for n in (0, 1, 2)))
    ]
    assert addresses[0] == addresses[1]
    assert len({*addresses}) == 3
