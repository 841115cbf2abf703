"""How often and how soon to retry. Knows neither gRPC nor storyboards."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

RETRIES = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter.

    retries      retries in a row without a new panel, 0 or more. The default takes about five
                 minutes: a server that starts again needs about one
    first_delay  seconds before the first retry, before jitter
    factor       growth of the delay per retry, 1 or more
    max_delay    longest delay, seconds
    jitter       random fraction of a delay, in [0, 1], so that clients that lost the same
                 server do not all return at the same moment
    """

    retries: int = RETRIES
    first_delay: float = 0.5
    factor: float = 2.0
    max_delay: float = 15.0
    jitter: float = 0.5
    rng: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        _at_least("retries", self.retries, 0)
        _at_least("first_delay", self.first_delay, 0)
        _at_least("factor", self.factor, 1)
        _at_least("max_delay", self.max_delay, 0)
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter: got {self.jitter}, allowed 0 to 1")

    def delay(self, attempt: int) -> float:
        """Seconds to wait before retry number `attempt` (the first is 0)."""
        # The exponent is bounded so that a large attempt number cannot overflow a float.
        longest = min(self.max_delay, self.first_delay * self.factor ** min(attempt, 64))
        return longest * (1 - self.jitter * self.rng.random())


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name}: got {value}, allowed {least} or more")
