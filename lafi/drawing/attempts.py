"""The drawings of one panel, of which the best stays.

Knows pictures and scores, not how either is made.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lafi.board.letterbox import Pixels
from lafi.board.limits import MAX_SEED
from lafi.board.storyboard import Panel, Retry

RETRY_SEED_STEP: Final = 1_000_000
"""From one drawing of a panel to the next.

Panel i has seed i if it says nothing, so a step of 1 would draw the neighbour's noise. It is less
than 2**32, since torch's generator on the CPU takes the lower 32 bits of a seed alone.
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawing: pixels RGB uint8 (H, W, 3), its seed, scores by character, number from 1."""

    pixels: Pixels
    seed: int
    scores: Mapping[str, float]
    attempt: int

    @property
    def lowest(self) -> float:
        """The lowest score; infinite where there is nothing to score."""
        return min(self.scores.values(), default=math.inf)


class Attempts:
    """How often a panel was drawn, and which drawing is the best so far.

    Of equally good ones the first stays, so that the same scores give the same picture.
    """

    def __init__(self, panel: Panel, retry: Retry | None) -> None:
        self._panel = panel
        self._retry = retry
        self.number = 1
        self.best: Drawn | None = None
        self.error = ""

    @property
    def panel(self) -> Panel:
        """The panel as it is drawn now: with the seed of this attempt."""
        return self._panel.model_copy(update={"seed": retry_seed(self._panel.seed, self.number)})

    def take(self, pixels: Pixels, scores: Mapping[str, float]) -> bool:
        """Take the picture of this attempt; whether it is followed by another, which begins now."""
        drawn = Drawn(pixels, self.panel.seed, scores, self.number)
        if self.best is None or drawn.lowest > self.best.lowest:
            self.best = drawn
        return self._next()

    def fail(self, error: str) -> bool:
        """Take note that this attempt gave no picture; whether another follows.

        None follows the first: numbers that are not finite are the model's fault, not the seed's.
        """
        self.error = error
        return self._next()

    def _next(self) -> bool:
        if self._retry is None or self.best is None or self.number > self._retry.most:
            return False
        again = self.best.lowest < self._retry.below
        self.number += again
        return again


def retry_seed(seed: int, attempt: int) -> int:
    """The seed of a panel's drawing number `attempt`, from 1; the first has the panel's own."""
    return (seed + (attempt - 1) * RETRY_SEED_STEP) % (MAX_SEED + 1)
