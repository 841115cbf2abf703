"""Computations that wait for one another."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import soon

from lafi.serving.one_at_a_time import OneAtATime, at_once


def test_no_two_run_at_once_and_each_gets_its_own_result() -> None:
    turns, running, most = OneAtATime(), 0, 0

    def compute(number: int, *, add: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.001)
        running -= 1
        return number + add

    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(turns(compute), number, add=100) for number in range(40)]
        assert [each.result() for each in waiting] == [*range(100, 140)]
    assert (most, running) == (1, 0)


def test_first_come_first_served_also_where_one_comes_again_at_once() -> None:
    """A loop that computes without a pause must not keep the others from their turn."""
    turns, order = OneAtATime(), list[str]()
    begun, other_waits = threading.Event(), threading.Event()

    def loop() -> None:
        order.append("loop")
        begun.set()
        assert other_waits.wait(10)

    def run() -> None:
        for _ in range(3):
            turns(loop)()

    with ThreadPoolExecutor(2) as threads:
        looping = threads.submit(run)
        assert begun.wait(10)
        other = threads.submit(turns(lambda: order.append("other")))
        soon(lambda: turns.waiting == 1)
        other_waits.set()
        looping.result(10)
        other.result(10)
    assert order == ["loop", "other", "loop", "loop"]


def test_one_that_fails_gives_its_turn_back() -> None:
    turns = OneAtATime()

    @turns
    def broken() -> None:
        raise MemoryError("no room")

    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            broken()
    assert turns(lambda: 7)() == 7


def test_without_turns_a_computation_may_begin_another() -> None:
    def same(value: int) -> int:
        return value

    assert at_once(same) is same
    assert at_once(lambda: at_once(same)(3))() == 3
