import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.serving.admission import Admission
from lafi.serving.service import Drawer, ServedModelError, Status, StoryboardService
from lafi.wire.events import Accepted, Event, Failed, Finished, Progress

STORYBOARD = Storyboard(panels=(Panel(prompt="a house"),))
ACCEPTED = Accepted(panels=1, portraits=0)
FINISHED = Finished(panels=1, seconds=0.0)


class RecordingSender:
    """A client that keeps what it is sent; the random id by itself."""

    id = ""

    def __init__(self) -> None:
        self.sent: list[Event | str] = []
        self.cancelled = False
        self.broken = False
        self.done = threading.Event()

    def send(self, event: Event) -> None:
        if self.broken:
            raise ConnectionError("the client is gone")
        if isinstance(event, Accepted):
            self.id = event.id
            event = event.model_copy(update={"id": ""})
        self.sent.append(event)

    def refuse(self, status: Status, message: str) -> None:
        self.sent.append(f"{status}: {message}")

    def finish(self) -> None:
        assert not self.done.is_set(), "the final flag was sent twice"
        self.done.set()

    def is_cancelled(self) -> bool:
        return self.cancelled

    def answer(self) -> list[Event | str]:
        assert self.done.wait(10), "the final flag never came"
        return self.sent


def draw_quickly(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
    yield ACCEPTED
    yield FINISHED


def draw_slowly(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Draws until it is told to stop; a thousand steps at most."""
    yield ACCEPTED
    for step in range(1000):
        if cancelled():
            return
        time.sleep(0.005)
        yield Progress(panel=0, character=None, step=step + 1, steps=1000)
    yield FINISHED


INSIDE = "an error inside the server (request 1d); its log says more"


@pytest.fixture(autouse=True)
def known_request_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lafi.serving.failure.new_request_id", lambda: "1d")


def service(draw: Drawer, limit: int = 4) -> StoryboardService:
    return StoryboardService(draw, Admission(limit), poll_seconds=0.0)


def started(sender: RecordingSender) -> None:
    """Waits until drawing has begun."""
    deadline = time.monotonic() + 10
    while len(sender.sent) < 2:
        assert time.monotonic() < deadline, "drawing never began"
        time.sleep(0.001)


def test_events_come_in_order_and_then_the_final_flag() -> None:
    sender = RecordingSender()
    service(draw_quickly).accept(lambda: STORYBOARD, sender)
    assert sender.answer() == [ACCEPTED, FINISHED]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["good", "bad", "broken", "failing", "gone", "cancelled"])))
def test_every_request_is_ended_and_every_place_given_back(kinds: list[str]) -> None:
    def draw(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        yield ACCEPTED
        if storyboard.title == "failing":
            raise RuntimeError("out of paint")
        yield FINISHED

    def decode(kind: str) -> Storyboard:
        if kind == "bad":
            raise StoryboardError(["panels: got nothing, allowed: a list"])
        if kind == "broken":
            raise KeyError("STORYBOARD")
        return STORYBOARD.model_copy(update={"title": kind})

    admission = Admission(max(1, len(kinds)))
    served = StoryboardService(draw, admission, poll_seconds=0.0)
    senders = [RecordingSender() for _ in kinds]
    for sender, kind in zip(senders, kinds, strict=True):
        sender.broken, sender.cancelled = kind == "gone", kind == "cancelled"
        served.accept(lambda kind=kind: decode(kind), sender)
    last = {
        "good": FINISHED,
        "bad": "INVALID_ARGUMENT: panels: got nothing, allowed: a list",
        "broken": f"INTERNAL: {INSIDE}",
        "failing": Failed(panel=None, error=f"INTERNAL: {INSIDE}", retryable=False),
        "gone": f"INTERNAL: {INSIDE}",
        "cancelled": ACCEPTED,
    }
    for sender, kind in zip(senders, kinds, strict=True):
        assert sender.answer()[-1] == last[kind]
    served.close()
    assert admission.in_flight == 0


def test_beyond_the_limit_a_storyboard_is_refused_at_once() -> None:
    first, second, third = RecordingSender(), RecordingSender(), RecordingSender()
    served = service(draw_slowly, limit=1)
    served.accept(lambda: STORYBOARD, first)
    served.accept(lambda: pytest.fail("a refused storyboard was read"), second)
    assert second.answer() == [
        "UNAVAILABLE: this server draws at most 1 storyboards at a time and 1 are in flight; "
        "try again later"
    ]
    first.cancelled = True
    first.answer()
    time.sleep(0.05)
    third.cancelled = True
    served.accept(lambda: STORYBOARD, third)
    assert third.answer() == [ACCEPTED]


def test_a_cancelled_storyboard_frees_the_thread_between_two_steps() -> None:
    first, second = RecordingSender(), RecordingSender()
    served = service(draw_slowly)
    served.accept(lambda: STORYBOARD, first)
    served.accept(lambda: STORYBOARD, second)
    started(first)
    first.cancelled = True
    first.answer()
    started(second)
    second.cancelled = True
    assert second.answer()[0] == ACCEPTED
    assert FINISHED not in first.sent


def test_a_storyboard_that_is_cancelled_while_it_is_read_is_never_drawn() -> None:
    reading = threading.Event()
    sender = RecordingSender()

    def decode() -> Storyboard:
        reading.wait(10)
        return STORYBOARD

    service(draw_slowly).accept(decode, sender)
    sender.cancelled = True
    reading.set()
    assert sender.answer() == [ACCEPTED]


def test_one_that_is_read_for_long_delays_nobody_and_is_no_sign_of_work() -> None:
    reading = threading.Event()
    slow, quick = RecordingSender(), RecordingSender()
    served = service(draw_quickly)

    def decode() -> Storyboard:
        reading.wait(10)
        return STORYBOARD

    served.accept(decode, slow)
    served.accept(lambda: STORYBOARD, quick)
    assert quick.answer() == [ACCEPTED, FINISHED]
    assert slow.sent == []
    assert served.work(SimpleNamespace(steps=7)) == (7, 0)
    reading.set()
    assert slow.answer() == [ACCEPTED, FINISHED]


def test_a_server_that_closes_refuses_what_is_being_read() -> None:
    sender = RecordingSender()
    served = service(draw_slowly)
    served.close()
    served.accept(lambda: pytest.fail("it was read"), sender)
    assert sender.answer() == ["UNAVAILABLE: the server is shutting down; try again later"]


def test_shutting_down_fails_what_is_drawn() -> None:
    first, second, late = RecordingSender(), RecordingSender(), RecordingSender()
    served = service(draw_slowly)
    served.accept(lambda: STORYBOARD, first)
    served.accept(lambda: STORYBOARD, second)
    started(first)
    started(second)
    served.close()
    text = "UNAVAILABLE: the server is shutting down; try again later"
    failed = Failed(panel=None, error=text, retryable=True)
    assert first.answer()[-1] == failed
    assert second.answer()[-1] == failed
    served.accept(lambda: STORYBOARD, late)
    assert late.answer() == [text]


def test_a_server_that_is_about_to_stop_fails_what_is_in_flight_and_refuses_the_rest() -> None:
    stopping = threading.Event()
    served = StoryboardService(
        draw_slowly, Admission(4), stop_asked=stopping.is_set, poll_seconds=0.0
    )
    drawn, late = RecordingSender(), RecordingSender()
    served.accept(lambda: STORYBOARD, drawn)
    started(drawn)
    stopping.set()
    text = "UNAVAILABLE: the server is shutting down; try again later"
    assert drawn.answer()[-1] == Failed(panel=None, error=text, retryable=True)
    served.accept(lambda: STORYBOARD, late)
    assert late.answer() == [text]


def test_as_many_storyboards_are_drawn_at_a_time_as_there_are_threads() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def draw(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        yield ACCEPTED
        meeting.wait()
        yield FINISHED

    senders = [RecordingSender() for _ in range(3)]
    served = StoryboardService(draw, Admission(3), poll_seconds=0.0)
    for sender in senders:
        served.accept(lambda: STORYBOARD, sender)
    assert [sender.answer() for sender in senders] == [[ACCEPTED, FINISHED]] * 3
    served.close()


def test_a_failure_that_may_pass_is_marked_retryable() -> None:
    def draw(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        yield ACCEPTED
        raise MemoryError

    sender = RecordingSender()
    service(draw).accept(lambda: STORYBOARD, sender)
    failed = Failed(
        panel=None, error=f"there was no memory for it; INTERNAL: {INSIDE}", retryable=True
    )
    assert sender.answer() == [ACCEPTED, failed]


def test_a_storyboard_that_this_model_cannot_draw_is_refused_before_it_is_accepted() -> None:
    def draw(storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        raise StoryboardError(["width: got 72, allowed: multiples of 16"])

    sender = RecordingSender()
    service(draw).accept(lambda: STORYBOARD, sender)
    assert sender.answer() == ["INVALID_ARGUMENT: width: got 72, allowed: multiples of 16"]


@pytest.mark.parametrize(
    ("message", "retryable"),
    [("INVALID_ARGUMENT: LATENT: got nan", False), ("Server not ready", True)],
)
def test_only_what_another_try_may_mend_is_retryable(message: str, retryable: bool) -> None:
    error = ServedModelError("vae_decoder", message)
    assert str(error) == f"the model vae_decoder failed: {message}"
    assert error.retryable is retryable
    assert error.told == ("the model vae_decoder failed" if retryable else str(error))
