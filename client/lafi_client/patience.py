"""Limits for how long to wait for a silent server.

If a model process is killed, its stream stays open and silent while the server still reports that
it is ready. So silence alone must end a drawing. The clock is an argument; nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lafi_client.errors import DrawTimeout

Clock = Callable[[], float]

END_SECONDS = 2.0
"""How long we wait for a finished or refused stream to end by itself, instead of cancelling it:
Triton Server 2.51 can crash if a call is cancelled while it sends the last response."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds.

    overall  for a whole storyboard with all retries; None: no limit
    idle     longest silence between two events of a stream
    queue    longest silence after `accepted`, while the server draws other storyboards first
    probe    silence after which the server is asked whether it is alive, again after each such
             interval; also the limit for its answer
    """

    overall: float | None = 3600.0
    idle: float = 60.0
    queue: float = 600.0
    probe: float = 5.0

    def __post_init__(self) -> None:
        for name in ("overall", "idle", "queue", "probe"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: got {value}, allowed more than 0 seconds")


class Deadline:
    """The overall limit of one storyboard, counted from the creation of this object."""

    def __init__(self, overall: float | None, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._overall = overall
        self._end = None if overall is None else clock() + overall

    def remaining(self) -> float | None:
        """Seconds left, 0 or more; None without a limit."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    def error(self) -> DrawTimeout:
        return DrawTimeout(f"the storyboard was not finished after {self._overall:g} s")

    def check(self) -> None:
        """Raises DrawTimeout once the time is up."""
        if self.remaining() == 0:
            raise self.error()


class Silence:
    """The time since a stream's last event."""

    def __init__(
        self, timeouts: Timeouts, deadline: Deadline, clock: Clock = time.monotonic
    ) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self._clock = clock
        self.start()

    def start(self, queued: bool = False) -> None:
        """Restart the count: an event came, or the consumer asks for the next one."""
        self._since = self._clock()
        self._limit = self._timeouts.queue if queued else self._timeouts.idle

    def wait(self) -> float:
        """Seconds to wait before the next check. Raises DrawTimeout once the limit is reached."""
        self._deadline.check()
        left = self._limit - (self._clock() - self._since)
        if left <= 0:
            raise DrawTimeout(
                f"no event for {self._limit:g} s although the server is alive: "
                "its model process may have died; restart the server, or raise the timeout"
            )
        waits = [left, self._timeouts.probe]
        if (remaining := self._deadline.remaining()) is not None:
            waits.append(remaining)
        return min(waits)
