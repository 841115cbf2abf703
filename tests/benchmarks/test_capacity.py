"""Laws of the capacity model and of the simulation that it is checked against."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.capacity.calibrate import MEGAPIXELS, PANELS, STEPS, Measured, fitted
from benchmarks.capacity.model import capacity, drawn_seconds
from benchmarks.capacity.simulation import Arrival, Scaling, arrivals, simulate
from benchmarks.capacity.work import Load, Times

TIMES = Times(call=0.01, row=2.0, panel=4.0, storyboard=0.1, character=0.05, resent=0.02, start=30)
LOADS = st.builds(
    Load,
    per_hour=st.floats(1, 10_000),
    panels=st.integers(1, 30),
    megapixels=st.sampled_from((0.001, 0.004096, 0.05)),
    stages=st.sampled_from((((4, 1.0),), ((8, 0.25), (4, 1.0)), ((30, 1.0),))),
    characters=st.integers(0, 3),
    known=st.floats(0, 1),
    resent=st.floats(0, 0.95),
)
FIXED = Scaling(least=1, most=1)


@given(LOADS)
def test_without_load_there_are_no_pods_and_no_cost(load: Load) -> None:
    found = capacity(replace(load, per_hour=0.0), TIMES, price_per_pod_hour=2.0, gpus_per_pod=1)
    assert (found.pods, found.gpus, found.cost_per_hour, found.cost_per_storyboard) == (0, 0, 0, 0)


MORE = (
    {"per_hour": 2.0},
    {"panels": 2},
    {"megapixels": 2.0},
)


@given(LOADS, st.sampled_from(MORE))
def test_more_work_never_needs_less(load: Load, more: dict[str, float]) -> None:
    (name, factor) = next(iter(more.items()))
    larger = replace(load, **{name: getattr(load, name) * factor})
    before, after = capacity(load, TIMES), capacity(larger, TIMES)
    assert after.demand >= before.demand
    assert after.pods >= before.pods


@given(LOADS)
def test_another_stage_or_character_costs_and_what_is_known_or_resent_saves(load: Load) -> None:
    each = capacity(load, TIMES).pod_seconds
    assert capacity(replace(load, stages=(*load.stages, (1, 1.0))), TIMES).pod_seconds > each
    one_more = replace(load, characters=load.characters + 1)
    assert capacity(one_more, TIMES).pod_seconds >= each
    for share in ("known", "resent"):
        assert capacity(replace(load, **{share: 1.0}), TIMES).pod_seconds <= each * (1 + 1e-9)


@given(LOADS, st.floats(0.1, 10))
def test_on_a_slower_machine_everything_takes_as_many_times_longer(
    load: Load, factor: float
) -> None:
    before, slower = capacity(load, TIMES), capacity(load, TIMES.scaled(factor))
    assert slower.pod_seconds == pytest.approx(factor * before.pod_seconds)
    assert TIMES.scaled(factor).start == TIMES.start


@given(LOADS, st.floats(0.1, 1), st.integers(1, 8))
def test_pods_are_enough_and_one_less_is_not(load: Load, share: float, gpus: int) -> None:
    found = capacity(load, TIMES, utilisation=share, gpus_per_pod=gpus, price_per_pod_hour=1.5)
    assert found.demand <= found.pods * share * (1 + 1e-6)
    assert found.pods == 1 or found.demand > (found.pods - 1) * share
    assert found.gpus == found.pods * gpus
    assert found.cost_per_storyboard * load.per_hour == pytest.approx(found.cost_per_hour)


@given(LOADS, st.integers(1, 9))
def test_a_fuller_call_is_never_dearer(load: Load, together: int) -> None:
    one, more = (drawn_seconds(load, TIMES, count) for count in (together, together + 1))
    assert more <= one


@settings(max_examples=20, deadline=None)
@given(LOADS, st.integers(0, 5), st.integers(1, 3))
def test_littles_law(load: Load, seed: int, pods: int) -> None:
    """L = lambda W, with L as an integral over time (Little, 1961)."""
    load = replace(load, panels=min(load.panels, 6))
    coming = arrivals(load, 3600.0, seed)[:30]
    found = simulate(load, TIMES, Scaling(least=pods, most=pods), coming=coming)
    assert len(found.seconds) == len(coming)
    rate = len(coming) / found.span
    assert found.in_system == pytest.approx(rate * found.mean, rel=1e-6, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(LOADS, st.integers(0, 5))
def test_work_is_neither_lost_nor_invented(load: Load, seed: int) -> None:
    coming = arrivals(load, 3600.0, seed)[:20]
    found = simulate(load, TIMES, FIXED, coming=coming)
    drawn = [each for each in coming if not each.resent]
    fixed = sum(TIMES.storyboard + each.unread * TIMES.character for each in drawn)
    fixed += TIMES.resent * (len(coming) - len(drawn))
    rows = sum(count * TIMES.call_seconds(1, load.megapixels * area) for count, area in load.stages)
    least_calls = len(drawn) * load.panels * load.steps / TIMES.places
    each = rows - load.steps * TIMES.call + TIMES.panel * load.megapixels
    expected = fixed + len(drawn) * load.panels * each + found.calls * TIMES.call
    assert found.busy == pytest.approx(expected)
    assert found.calls >= least_calls - 1e-9


def test_the_mean_wait_is_that_of_a_queue_with_fixed_service() -> None:
    """One place, one panel: M/D/1, whose mean time is s + rho s / (2 (1 - rho)) (Khinchine)."""
    times = Times(call=0.5, row=0.0, panel=0.0, storyboard=0.0, max_rows=2)
    load = Load(0, panels=1, stages=((4, 1.0),), characters=0, resent=0.0)
    service = drawn_seconds(load, times, 1)
    for rho in (0.3, 0.6):
        busy = replace(load, per_hour=3600 * rho / service)
        found = simulate(busy, times, FIXED, seconds=60_000, seed=3)
        expected = service + rho * service / (2 * (1 - rho))
        # Whoever has the one place keeps it until the panel is done, so turns change no mean.
        assert found.mean == pytest.approx(expected, rel=0.08)
        assert found.busy / found.span == pytest.approx(rho, rel=0.05)


def test_one_storyboard_alone_takes_what_the_model_says() -> None:
    load = Load(0, panels=4, stages=((6, 1.0),), characters=2)
    found = simulate(load, TIMES, FIXED, coming=[Arrival(1.0, unread=1)])
    together = drawn_seconds(replace(load, known=0.5), TIMES, 4)
    assert found.seconds == [pytest.approx(together)]


def test_pods_come_with_work_and_go_after_a_while() -> None:
    load = Load(2000, panels=8, resent=0.0)
    scaling = Scaling(least=0, most=6, cooldown=120)
    coming = arrivals(load, 1800, 1)
    found = simulate(load, TIMES, scaling, seconds=5400, coming=coming)
    assert len(found.seconds) == len(coming)
    assert found.most_pods > 1
    quiet = simulate(load, TIMES, scaling, coming=[])
    assert (quiet.pods, quiet.most_pods, quiet.busy) == (0, 0, 0)


def test_refusals_are_counted_and_come_again() -> None:
    load = Load(3600, panels=8, resent=0.0)
    coming = [Arrival(0.1 * number) for number in range(30)]
    found = simulate(load, TIMES, FIXED, coming=coming)
    assert found.refused > 0
    assert len(found.seconds) == 30


@given(st.floats(0.001, 0.1), st.floats(0.1, 20), st.floats(0.1, 50), st.floats(0.001, 1))
def test_times_are_found_again_in_what_they_make(
    call: float, row: float, panel: float, storyboard: float
) -> None:
    times = Times(call=call, row=row, panel=panel, storyboard=storyboard)
    made = []
    for panels, steps in itertools.product(PANELS, STEPS):
        load = Load(0, panels, MEGAPIXELS, ((steps, 1.0),), characters=0)
        made.append(Measured(panels, steps, drawn_seconds(load, times, panels)))
    found = fitted(made, max_rows=20)
    for name in ("call", "row", "panel", "storyboard"):
        assert getattr(found, name) == pytest.approx(getattr(times, name), rel=1e-3, abs=1e-6)


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_scaling_asks_for_enough_of_both(panels: float, forecast: float) -> None:
    scaling = Scaling(least=0, most=100)
    wanted = scaling.wanted(panels, forecast)
    assert wanted * scaling.panels_per_pod >= panels - 1e-6 or wanted == scaling.most
    assert wanted >= math.floor(forecast / scaling.forecast_seconds)
    assert scaling.wanted(0, 0) == 0


@pytest.mark.parametrize(
    "wrong", [{"per_hour": -1}, {"panels": 0}, {"known": 1.5}, {"stages": ()}, {"resent": -0.1}]
)
def test_a_load_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Load(**{"per_hour": 1, **wrong})


def test_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: 0 or more"):
        Times(call=-1, row=1, panel=0, storyboard=0)
    with pytest.raises(ValueError, match="a call takes time"):
        Times(call=0, row=0, panel=0, storyboard=0)
