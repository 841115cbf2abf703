"""What is counted is what was drawn, and counting changes nothing."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from lafi.drawing.outcomes import BUCKETS, Outcomes
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Progress

DEADLINE = 30.0


def picture(panel: int, kept: bool = False, attempts: int = 1) -> PanelImage:
    said = {"panel": panel, "kept": kept, "scores": {"mia": 0.5}, "attempts": attempts}
    return PanelImage.model_construct(**said)


def counted(outcomes: Outcomes, *events: Event) -> list[Event]:
    return [*outcomes.watch(iter(events), DEADLINE)]


@given(st.lists(st.floats(0.0, 1000.0), max_size=8))
def test_every_drawn_panel_is_in_the_buckets_that_hold_its_seconds(took: list[float]) -> None:
    now = 0.0
    outcomes = Outcomes(lambda: now)

    def draw() -> Iterator[Event]:
        nonlocal now
        for panel, seconds in enumerate(took):
            yield Progress(panel=panel, step=1, steps=2)
            now += seconds / 2
            yield Progress(panel=panel, step=2, steps=2)
            now += seconds / 2
            yield picture(panel)

    list(outcomes.watch(draw(), None))
    assert len(outcomes.buckets()) == len(BUCKETS) + 1
    assert outcomes.buckets()[-1] == outcomes.count("drawn") == len(took)
    assert abs(outcomes.seconds - sum(took)) < 1e-6
    for end, number in zip(BUCKETS, outcomes.buckets(), strict=False):
        clear = [seconds for seconds in took if abs(seconds - end) > 1e-6]
        assert number >= sum(seconds < end for seconds in clear)
        assert number <= len(took) - sum(seconds > end for seconds in clear)


def test_kept_panels_have_no_seconds_and_failures_are_counted() -> None:
    outcomes = Outcomes()
    events = [
        Accepted(panels=2, portraits=0),
        picture(0, kept=True, attempts=3),
        Progress(panel=1, step=1, steps=1),
        Failed(panel=1, error="x", retryable=True),
        Finished(panels=1, seconds=0.1),
    ]
    assert counted(outcomes, *events) == events
    counts = {what: outcomes.count(what) for what in ("drawn", "kept", "failed", "finished")}
    assert counts == {"drawn": 0, "kept": 1, "failed": 1, "finished": 1}
    assert outcomes.buckets() == [0] * (len(BUCKETS) + 1)
    assert (outcomes.count("scored"), outcomes.count("retries")) == (1, 2)


def test_a_storyboard_is_late_only_after_its_deadline() -> None:
    times = iter([0.0, 30.0, 0.0, 30.5])
    outcomes = Outcomes(lambda: next(times))
    counted(outcomes, Finished(panels=0, seconds=30.0))
    assert outcomes.count("late") == 0
    counted(outcomes, Finished(panels=0, seconds=30.5))
    assert outcomes.count("late") == 1


def test_the_drawing_ends_when_nobody_asks_for_more() -> None:
    ended = []

    def draw() -> Iterator[Event]:
        try:
            yield Accepted(panels=2, portraits=0)
            yield Finished(panels=2, seconds=0.0)
        finally:
            ended.append(True)

    events = Outcomes().watch(draw(), DEADLINE)
    next(events)
    events.close()
    assert ended == [True]
