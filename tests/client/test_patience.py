"""Waiting ends: by silence, and by the limit of the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_client.errors import DrawTimeout
from lafi_client.patience import Deadline, Silence, Timeouts


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0.1, 50))
def test_waiting_ends_at_the_first_limit(overall: float, idle: float, probe: float) -> None:
    clock = Clock()
    timeouts = Timeouts(overall, idle, 99.0, probe)
    silence = Silence(timeouts, Deadline(overall, clock), clock)

    def wait_forever() -> None:
        for _ in range(10_000):
            wait = silence.wait()
            assert 0 < wait <= probe
            clock.now += wait

    with pytest.raises(DrawTimeout):
        wait_forever()
    assert clock.now == pytest.approx(min(overall, idle))


def test_an_event_ends_the_silence_and_not_the_whole() -> None:
    clock = Clock()
    silence = Silence(Timeouts(10.0, 3.0, 99.0, 1.0), Deadline(10.0, clock), clock)
    for _ in range(4):
        clock.now += 2.4
        silence.start()
    assert silence.wait() == pytest.approx(0.4)
    clock.now += 0.4
    with pytest.raises(DrawTimeout, match="not finished after 10 s"):
        silence.wait()


@pytest.mark.parametrize("field", ["overall", "idle", "queue", "probe"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_limits_are_positive(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got {value}, allowed more than 0 seconds$"):
        Timeouts(**{field: value})


def test_a_storyboard_may_wait_longer_for_its_turn() -> None:
    clock = Clock()
    silence = Silence(Timeouts(None, 1.0, 5.0, 2.0), Deadline(None, clock), clock)
    silence.start(queued=True)
    clock.now += 4.5
    assert silence.wait() == pytest.approx(0.5)
    silence.start()
    clock.now += 1.5
    with pytest.raises(DrawTimeout, match="no event for 1 s"):
        silence.wait()


def test_no_limit_for_the_whole() -> None:
    deadline = Deadline(None)
    deadline.check()
    assert deadline.remaining() is None
