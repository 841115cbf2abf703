"""Whether a running server still does its work. Decides from numbers; knows no clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

QUIET_SECONDS = 4.0
"""How long a server that has work may do nothing at all."""
STEP_SECONDS = 900.0
"""How long a single step may take; beyond it a server counts as hung although it computes."""
QUIET_CPU = 0.1
"""Of one core: a server that uses less computes nothing. Idle ones use about 0.03."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What the model `storyboard` says of itself: steps taken so far, storyboards in flight."""

    steps: int
    work: int


def read_beat(path: Path) -> Beat | None:
    """The newest beat in a file that `lafi.serving.heartbeat` writes; None if there is none."""
    try:
        steps, work = path.read_text().split()
        return Beat(int(steps), int(work))
    except (OSError, ValueError):
        return None


class VitalSigns:
    """Tells a hung server from a busy one, and from one that has nothing to do.

    Work goes on if steps are taken, or if the processes use CPU time: one step of a large picture
    takes long, and it computes all the while. So load never looks like death.
    """

    def __init__(self, quiet: float = QUIET_SECONDS, step: float = STEP_SECONDS) -> None:
        """quiet: seconds without any sign; step: seconds without a step."""
        self._quiet = quiet
        self._step = step
        self._steps = -1
        self._stepped: float | None = None
        self._cpu: deque[tuple[float, float]] = deque()

    def see(self, now: float, beat: Beat | None, cpu_seconds: float, canary: bool) -> str | None:
        """Why the server counts as hung; None as long as it does not.

        now: seconds. beat: None for a server that gives none. cpu_seconds: of all its processes so
        far. canary: whether the canary is under way, which is work too.
        """
        self._cpu.append((now, cpu_seconds))
        while len(self._cpu) > 2 and now - self._cpu[1][0] >= self._quiet:
            self._cpu.popleft()
        if beat is None:
            return None
        idle = beat.work == 0 and not canary
        if self._stepped is None or beat.steps != self._steps or idle:
            self._steps, self._stepped = beat.steps, now
            return None
        waited = now - self._stepped
        if waited >= self._step:
            return f"no step for {waited:.0f} s, although storyboards wait"
        if waited >= self._quiet and self._is_quiet(now):
            return f"no step and no work for {waited:.0f} s, although storyboards wait"
        return None

    def _is_quiet(self, now: float) -> bool:
        """Whether next to no CPU time was used for long enough."""
        since, before = self._cpu[0]
        if now - since < self._quiet:
            return False
        return self._cpu[-1][1] - before < QUIET_CPU * (now - since)
