"""Progress that a client asked to hear less often."""

import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from desk_server import Client
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.serving.admission import Admission
from lafi.serving.job import PacedSender
from lafi.serving.service import StoryboardService
from lafi.wire.events import Accepted, Event, Finished, Progress

STEPS = 6
ACCEPTED = Accepted(panels=2, portraits=1)
FINISHED = Finished(panels=2, seconds=0.0)


def step(panel: int | None, number: int) -> Progress:
    character = None if panel is not None else "mia"
    return Progress(panel=panel, character=character, step=number, steps=STEPS)


def draw(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
    yield ACCEPTED
    for number, panel in itertools.product(range(1, STEPS + 1), (0, 1, None)):
        yield step(panel, number)
    yield FINISHED


def board(**settings: float) -> Storyboard:
    return Storyboard.model_validate({"panels": [{"prompt": "a house"}], **settings})


def answer(**settings: float) -> list[Event]:
    client = Client()
    StoryboardService(draw, Admission(1)).accept(lambda: board(**settings), client)
    return client.answer()[1:-1]


def test_by_itself_every_step_is_told() -> None:
    assert len(answer()) == 3 * STEPS


def test_each_panel_and_portrait_is_told_of_once_in_so_many_seconds() -> None:
    assert answer(progress_seconds=20.0) == [step(0, 1), step(1, 1), step(None, 1)]


@given(st.lists(st.tuples(st.sampled_from((0, 1, None)), st.floats(0, 3)), max_size=30))
def test_two_of_a_panel_are_never_closer_and_none_is_late(
    steps: list[tuple[int | None, float]],
) -> None:
    least, now = 2.0, 0.0
    last: dict[int | None, float] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now)
        client = Client()
        paced = PacedSender(client, least)
        for panel, later in steps:
            now += later
            before = len(client.sent)
            paced.send(step(panel, 1))
            told = len(client.sent) > before
            assert told == (panel not in last or now - last[panel] >= least)
            if told:
                last[panel] = now


def test_other_events_are_never_left_out() -> None:
    client = Client()
    paced = PacedSender(client, 30.0)
    for event in (ACCEPTED, FINISHED, FINISHED):
        paced.send(event)
    assert client.sent == [ACCEPTED, FINISHED, FINISHED]


@pytest.mark.parametrize("seconds", [-1.0, 31.0, float("nan"), float("inf")])
def test_seconds_that_no_client_would_wait_are_refused(seconds: float) -> None:
    with pytest.raises(StoryboardError, match="allowed: 0 to 30 seconds") as refused:
        board(progress_seconds=seconds)
    assert str(refused.value).startswith("progress_seconds: got ")
