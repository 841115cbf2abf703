"""Guidance: the arithmetic of diffusers, windows, and what a model without two rows refuses."""

from typing import Any

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.sampling.guidance import Embedded, NoGuidance, TwoRows, guidance_of

SHAPE = (4, 6, 5)


def predictions(seed: int) -> Tensor:
    return torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.floats(1.0, 30.0), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_two_rows_are_combined_as_diffusers_combines_them(
    seed: int, scale: float, rescale: float
) -> None:
    given = predictions(seed)
    expected = given[0] + scale * (given[1] - given[0])
    if rescale:
        expected = rescale_noise_cfg(expected[None], given[1][None], rescale)[0]
    torch.testing.assert_close(TwoRows(scale, rescale=rescale).combine(given), expected)


def test_a_whole_rescale_has_the_spread_of_the_prediction_with_prompt() -> None:
    given = predictions(0)
    combined = TwoRows(9.0, rescale=1.0).combine(given)
    torch.testing.assert_close(combined.std(), given[1].std())


def test_one_row_is_what_it_is() -> None:
    given = predictions(0)
    for guidance in (TwoRows(5.0, rescale=0.5), Embedded(3.5), NoGuidance()):
        assert torch.equal(guidance.combine(given[1:]), given[1])


def test_rows_follow_the_window() -> None:
    guidance = TwoRows(5.0, start=0.2, end=0.8)
    assert [guidance.rows(i, 10) for i in range(10)] == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]
    assert Embedded(3.5).rows(0, 10) == NoGuidance().rows(0, 10) == 1


def test_an_embedded_scale_is_a_number_for_the_model() -> None:
    assert dict(Embedded(3.5).ports()) == {"guidance": 3.5}
    assert dict(NoGuidance().ports()) == dict(TwoRows(5.0).ports()) == {}


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("rows", {"guidance": 4.0}, TwoRows(4.0)),
        (
            "rows",
            {"guidance": 4.0, "guidance_start": 0.1, "guidance_end": 0.5, "guidance_rescale": 0.7},
            TwoRows(4.0, 0.1, 0.5, 0.7),
        ),
        ("rows", {"guidance": 1.0}, NoGuidance()),
        ("rows", {"guidance": 0.0}, NoGuidance()),
        ("embedded", {"guidance": 3.5}, Embedded(3.5)),
        ("embedded", {"guidance": 1.0}, Embedded(1.0)),
        ("none", {}, NoGuidance()),
    ],
)
def test_a_stage_is_guided_as_its_model_can(
    kind: Any, settings: dict[str, float], expected: object
) -> None:
    assert guidance_of(SamplingStage(**settings), kind) == expected


@pytest.mark.parametrize("kind", ["embedded", "none"])
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [("guidance_start", 0.2, "0"), ("guidance_end", 0.5, "1"), ("guidance_rescale", 0.7, "0")],
)
def test_a_model_without_two_rows_has_no_window(
    kind: Any, name: str, value: float, allowed: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}: got {value}, allowed: {allowed} with this"):
        guidance_of(SamplingStage(**{name: value}), kind)
