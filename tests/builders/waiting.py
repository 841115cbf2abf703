"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable


def soon(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
