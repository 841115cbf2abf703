"""Limits what is in flight at once: how many storyboards, and how much work they are.

Triton Server's own queue limits do not count requests that a decoupled model has taken over, so
we count them here. The limits bound memory and waiting, and clients of a busy server get their
answer at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

from lafi.board.cost import Cost
from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_PANELS, MAX_STEPS, OWN_SIDE
from lafi.serving.forecast import Forecast, Job

DRAWINGS = 4
"""Times the most panels and steps at the model's own size that one storyboard may cost."""
_ROUNDING = 1e-9
"""Megapixel steps that sums may be off."""
STORYBOARDS = 4
"""Of the costliest kind that may be in flight together."""


class RefusedError(RuntimeError):
    """A storyboard is not admitted now; trying again later may succeed."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Megapixel steps (`lafi.board.cost`) of one storyboard, and of all in flight."""

    storyboard: float
    total: float


def budget_of(own_side: int) -> Budget:
    """What a server allows if nothing else is set. own_side: of its model, 0 if not known."""
    megapixels = (own_side or OWN_SIDE) ** 2 / 1e6
    most = DRAWINGS * MAX_PANELS * MAX_STEPS * megapixels
    return Budget(most, STORYBOARDS * most)


class Charge(NamedTuple):
    """The cost of one storyboard in flight. owner: name of the key that sent it, "": no key."""

    megapixel_steps: float
    job: Job | None
    owner: str


class Admission:
    """Counts storyboards in flight (waiting or being drawn), and refuses those beyond the limits.

    First a place is taken, which needs nothing but the request's arrival; then, once the
    storyboard was read, its cost is charged.
    """

    def __init__(
        self, limit: int, budget: Budget | None = None, forecast: Forecast | None = None
    ) -> None:
        """limit: storyboards in flight. budget: of their cost; None: no limit.

        forecast: when storyboards will be done; None: no deadline can be promised.
        """
        if limit < 1:
            raise ValueError(f"max_storyboards: got {limit}, allowed: 1 or more")
        self.limit = limit
        self._budget = budget
        self._forecast = forecast
        self._lock = threading.Lock()
        self._in_flight = 0
        self._refused = 0
        self._charged = 0.0
        self._by_owner: dict[str, float] = {}

    @property
    def in_flight(self) -> int:
        """Storyboards that are admitted and not done."""
        return self._in_flight

    @property
    def refused(self) -> int:
        """Storyboards refused so far."""
        return self._refused

    @property
    def megapixel_steps(self) -> float:
        """Cost of the storyboards in flight, as it was when they came."""
        return self._charged

    @property
    def forecast_seconds(self) -> float:
        """Of the work in flight; 0 where that cannot be told."""
        return 0.0 if self._forecast is None else self._forecast.work()

    def admit(self) -> None:
        """Take a place. Raises RefusedError if there is none."""
        with self._lock:
            if self._in_flight >= self.limit:
                self._refused += 1
                raise RefusedError(
                    f"this server draws at most {self.limit} storyboards at a time and "
                    f"{self._in_flight} are in flight; try again later"
                )
            self._in_flight += 1

    def charge(
        self,
        cost: Cost,
        deadline_seconds: float | None = None,
        owner: str = "",
        most: float | None = None,
    ) -> Charge:
        """Take on an admitted storyboard's cost. deadline_seconds: until when it must be done.

        owner: name of the key that sent it. most: megapixel steps of all that this key may have in
        flight; None: no limit.

        Raises StoryboardError for one that is too large for this server, or key, at any time, and
        RefusedError for one that is too much, or would be too late, now.
        """
        if self._budget is not None and cost.megapixel_steps > self._budget.storyboard:
            allowed = (
                f"{self._budget.storyboard:.4g} in one storyboard (width x height x steps of all "
                "panels and retries, in millions); send fewer panels, or smaller ones"
            )
            line = problem(
                "panels", Verbatim(f"{cost.megapixel_steps:.4g} megapixel steps"), allowed
            )
            raise StoryboardError([line])
        if most is not None and cost.megapixel_steps > most:
            raise StoryboardError([_too_much_for_a_key(cost, owner, most)])
        if self._forecast is not None:
            self._check_deadline(deadline_seconds, self._forecast.seconds(cost))
        with self._lock:
            self._check_total(cost.megapixel_steps)
            self._check_owner(cost.megapixel_steps, owner, most)
            self._charged += cost.megapixel_steps
            self._by_owner[owner] = self._by_owner.get(owner, 0.0) + cost.megapixel_steps
        job = None if self._forecast is None else self._forecast.begin(cost)
        return Charge(cost.megapixel_steps, job, owner)

    def step(self, charge: Charge) -> None:
        """One step of one of the storyboard's pictures is done."""
        if self._forecast is not None and charge.job is not None:
            self._forecast.step(charge.job)

    def seconds_left(self, charge: Charge) -> float | None:
        """Until the storyboard is done; None where that cannot be told."""
        if self._forecast is None or charge.job is None:
            return None
        return self._forecast.left(charge.job)

    def give_back(self, charge: Charge, *, whole: bool) -> None:
        """The storyboard is done, or given up. whole: it was drawn to its end."""
        with self._lock:
            self._charged -= charge.megapixel_steps
            left = self._by_owner.pop(charge.owner) - charge.megapixel_steps
            if left > _ROUNDING:
                self._by_owner[charge.owner] = left
        if self._forecast is not None and charge.job is not None:
            self._forecast.end(charge.job, whole=whole)

    def release(self) -> None:
        """Free the place of an admitted storyboard."""
        with self._lock:
            if self._in_flight == 0:
                raise RuntimeError("a place was given back that was not taken")
            self._in_flight -= 1

    def _check_total(self, more: float) -> None:
        if self._budget is None or self._charged + more <= self._budget.total:
            return
        self._refused += 1
        raise RefusedError(
            f"this server takes on at most {self._budget.total:.4g} megapixel steps at a time; "
            f"{self._charged:.4g} are in flight and this storyboard has {more:.4g}; "
            "try again later"
        )

    def _check_owner(self, more: float, owner: str, most: float | None) -> None:
        charged = self._by_owner.get(owner, 0.0)
        if most is None or charged + more <= most:
            return
        self._refused += 1
        raise RefusedError(
            f"the key {owner} may have at most {most:.4g} megapixel steps in flight; "
            f"{charged:.4g} are, and this storyboard has {more:.4g}; try again later"
        )

    def _check_deadline(self, wanted: float | None, forecast: float | None) -> None:
        if wanted is None or forecast is None or forecast <= wanted:
            return
        with self._lock:
            self._refused += 1
        raise RefusedError(
            f"deadline_seconds: got {wanted:g}, allowed: {forecast:.3g} or more, which it would "
            "take now; try again later, or ask for less"
        )


def _too_much_for_a_key(cost: Cost, owner: str, most: float) -> str:
    got = Verbatim(f"{cost.megapixel_steps:.4g} megapixel steps")
    allowed = f"{most:.4g} for the key {owner}; send fewer panels, or smaller ones"
    return problem("panels", got, allowed)
