"""A model sends no faster than its client reads."""

import os
import tempfile
import threading
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.serving.pace import Pace


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_never_more_than_the_limit_is_on_its_way_but_one_that_is_larger(
    sizes: list[int], most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "taken"
        taken.touch()
        sent = 0

        def gone() -> bool:
            """Asked when it has to wait: then the client reads one byte."""
            assert sent > taken.stat().st_size, "it waits only for what is unread"
            os.truncate(taken, min(sent, taken.stat().st_size + 10))
            return False

        pace = Pace(taken, gone, most)
        for size in sizes:
            pace.wait(size)
            unread = sent - taken.stat().st_size
            assert unread <= 0 or unread + size <= most
            sent += size


def test_nobody_is_waited_for_who_is_gone(tmp_path: Path) -> None:
    asked: list[int] = []
    pace = Pace(tmp_path / "never", lambda: not asked.append(1), 10)
    for _ in range(5):
        pace.wait(100)
    assert len(asked) == 4, "the first goes without a question"


def test_it_waits_until_it_is_read(tmp_path: Path) -> None:
    taken, passed = tmp_path / "taken", threading.Event()
    pace = Pace(taken, lambda: False, 10)
    pace.wait(8)

    def second() -> None:
        pace.wait(8)
        passed.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not passed.wait(0.1)
    taken.touch()
    os.truncate(taken, 8)
    assert passed.wait(5)
    thread.join()


def test_without_a_front_nothing_waits() -> None:
    asked: list[int] = []
    pace = Pace(None, lambda: bool(asked.append(1)), 1)
    for _ in range(5):
        pace.wait(100)
    assert asked == []
