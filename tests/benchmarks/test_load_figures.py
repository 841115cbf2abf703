"""Percentiles, lines and the figures of queries."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.load.line_fit import bend, fit_line, worst_against_proportional
from benchmarks.load.percentile import percentile
from benchmarks.load.query import Query, figures, must_be_drawn
from benchmarks.load.queue_ahead import growth_with_queue

finite = st.floats(-1e6, 1e6)
shares = st.floats(0.5, 100)


@given(st.lists(finite, min_size=1), shares)
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(
    samples: list[float], share: float
) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= len(samples) * share / 100
    below = sum(sample < found for sample in samples)
    assert below < len(samples) * share / 100 or math.isclose(below, len(samples) * share / 100)


@given(st.lists(finite, min_size=1), shares, shares)
def test_percentiles_grow_with_their_share(samples: list[float], one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert percentile(samples, low) <= percentile(samples, high)
    assert percentile(samples, 100) == max(samples)


@given(st.lists(finite, min_size=1, max_size=99))
def test_the_99th_of_fewer_than_a_hundred_samples_is_the_largest(samples: list[float]) -> None:
    assert percentile(samples, 99) == max(samples)


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="samples: got none, allowed 1 or more"):
        percentile([], 50)
    with pytest.raises(ValueError, match="share: got 0, allowed more than 0, at most 100"):
        percentile([1.0], 0)


@given(st.floats(-100, 100), st.floats(-100, 100), st.sets(st.integers(0, 1000), min_size=2))
def test_a_line_is_found_again(slope: float, intercept: float, places: set[int]) -> None:
    x = sorted(places)
    line = fit_line(x, [intercept + slope * place for place in x])
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.at(x[0]) == pytest.approx(intercept + slope * x[0], abs=1e-4)
    assert line.slope_error == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_slope_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(0)
    x = list(range(20))
    lines = [fit_line(x, (3.0 + rng.standard_normal(20)).tolist()) for _ in range(2000)]
    spread = float(np.std([line.slope for line in lines]))
    assert np.mean([line.slope_error for line in lines]) == pytest.approx(spread, rel=0.05)


@given(
    st.floats(0.1, 10),
    st.floats(-5, 5),
    st.lists(st.integers(0, 60), min_size=3, max_size=8, unique=True),
)
def test_a_line_does_not_bend_and_scaling_changes_no_bend(
    slope: float, curve: float, places: list[int]
) -> None:
    x: Sequence[float] = sorted(places)
    assert bend(x, [slope * place for place in x]) == pytest.approx(0, abs=1e-6)
    y = [slope * place + curve * place**2 for place in x]
    assume(abs(fit_line(x, y).slope) > 1e-2)
    assert bend(x, [5 + 2 * value for value in y]) == pytest.approx(bend(x, y), abs=1e-6)
    assert bend([10 * place for place in x], y) == pytest.approx(bend(x, y), abs=1e-6)


def test_bends_have_their_sign_and_size() -> None:
    x = [0.0, 1, 2, 4, 8, 16]
    assert bend([0.0, 1, 2, 3, 4], [0.0, 1, 4, 9, 16]) == pytest.approx(1)
    assert bend(x, [math.sqrt(place) for place in x]) < 0
    with pytest.raises(ValueError, match="x: got 2 different values, allowed 3 or more"):
        bend([0, 1], [0, 1])
    with pytest.raises(ValueError, match="y: got no rise"):
        bend([0, 1, 2], [3, 3, 3])
    with pytest.raises(ValueError, match="y: got 1 values, allowed 2"):
        fit_line([0, 1], [0])


@given(st.floats(0.1, 10), st.lists(st.floats(0.0, 10), min_size=1, max_size=6))
def test_whoever_costs_as_much_as_oneself_is_in_proportion(
    alone: float, costs: list[float]
) -> None:
    """Nobody ahead dearer than oneself: at most 1; somebody alone ahead who is: more than 1."""
    x = list(range(len(costs) + 1))
    y = [alone, *(alone + float(sum(costs[: n + 1])) for n in range(len(costs)))]
    worst = worst_against_proportional(x, y)
    if all(cost <= alone for cost in costs):
        assert worst <= 1 + 1e-9
    if costs[0] > alone * (1 + 1e-9):
        assert worst > 1
    with pytest.raises(ValueError, match="with 0 among them"):
        worst_against_proportional([*x[1:], 99], [*y[1:], 1.0])


def drawn(began: float, *panels: float) -> Query:
    return Query(began, panels, max(panels) + 0.5, "drawn")


def test_refused_queries_are_counted_and_have_no_part_in_latencies() -> None:
    queries = [
        drawn(10.0, 1.0, 2.0),
        drawn(11.0, 3.0, 4.0),
        Query(12.0, (), 0.01, "refused", "UNAVAILABLE"),
        Query(12.0, (0.5,), 1.0, "failed", "it broke"),
    ]
    found = figures(queries)
    assert (found["queries"], found["drawn"], found["refused"], found["failed"]) == (4, 2, 1, 1)
    assert found["errors"] == ["it broke"]
    assert found["seconds"] == pytest.approx(5.5)
    assert found["panels_per_second"] == pytest.approx(4 / 5.5)
    assert found["storyboards_per_second"] == pytest.approx(2 / 5.5)
    assert (found["first_panel_p50"], found["first_panel_p99"]) == (1.0, 3.0)
    assert (found["panel_p50"], found["panel_p99"]) == (2.0, 4.0)
    assert (found["storyboard_p50"], found["storyboard_p99"]) == (2.5, 4.5)


def test_where_nothing_was_drawn_there_is_no_latency() -> None:
    found = figures([Query(0.0, (), 1.0, "refused", "full")])
    assert found["panels_per_second"] == 0
    assert found["first_panel_p99"] is None
    with pytest.raises(RuntimeError, match="a storyboard was refused: full"):
        must_be_drawn(Query(0.0, (), 1.0, "refused", "full"))


def test_a_queue_that_grows_like_a_line_is_said_to() -> None:
    found = growth_with_queue({0: [1.0, 0.9], 8: [5.0, 4.0], 4: [3.0], 2: [2.0], 1: [1.5]})
    assert found["ahead"] == [0, 1, 2, 4, 8]
    assert found["samples"] == [2, 1, 1, 1, 2]
    assert found["first_panel_p99"] == [1.0, 1.5, 2.0, 3.0, 5.0]
    assert found["first_panel_p50"][-1] == 4.0
    assert found["seconds_per_storyboard"] == pytest.approx(0.5)
    assert found["seconds_alone"] == pytest.approx(1.0)
    assert found["bend"] == pytest.approx(0, abs=1e-9)
    assert found["worst_against_proportional"] == pytest.approx(0.75)
