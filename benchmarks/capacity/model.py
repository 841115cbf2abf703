"""The capacity model: pods, GPUs and cost of a load, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.capacity.work import Load, Times

UTILISATION = 0.7
"""Share of the time that a pod should draw; the rest is for what comes at random."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a load needs.

    pod_seconds: of work for one storyboard, the mean over drawn and resent ones. demand: pods that
    would always draw. pods: whole ones. cost_per_hour, cost_per_storyboard: in the currency of the
    price; the latter is 0 where nothing comes.
    """

    pod_seconds: float
    demand: float
    pods: int
    gpus: int
    cost_per_hour: float
    cost_per_storyboard: float


def drawn_seconds(load: Load, times: Times, together: int) -> float:
    """Pod seconds of one storyboard that is drawn while so many panels share each call.

    together: panels of one call; 1 or more, at most `times.places`.
    """
    if not 1 <= together <= times.places:
        raise ValueError(f"together: got {together}, allowed: 1 to {times.places}")
    steps = sum(
        count * times.call_seconds(together, load.megapixels * share) / together
        for count, share in load.stages
    )
    finish = times.panel * load.megapixels
    return times.fixed_seconds(load) + load.panels * (steps + finish)


def capacity(
    load: Load,
    times: Times,
    *,
    price_per_pod_hour: float = 0.0,
    gpus_per_pod: int = 0,
    utilisation: float = UTILISATION,
) -> Capacity:
    """What the load needs. utilisation: above 0, at most 1.

    Calls are counted as full, as they are where there is enough to do that pods are counted;
    where a single pod is enough they are not, and it is one pod all the same.
    """
    if not 0 < utilisation <= 1 or price_per_pod_hour < 0:
        raise ValueError(
            f"utilisation, price_per_pod_hour: got {utilisation}, {price_per_pod_hour}, "
            "allowed: above 0 to 1, and 0 or more"
        )
    drawn = drawn_seconds(load, times, times.places)
    each = load.resent * times.resent + (1 - load.resent) * drawn
    demand = load.per_hour / 3600 * each
    # A sum that is whole but for rounding must not ask for one more.
    pods = math.ceil(demand / utilisation - 1e-9) if load.per_hour else 0
    pods = max(pods, 1) if load.per_hour else 0
    price = pods * price_per_pod_hour
    return Capacity(
        pod_seconds=each,
        demand=demand,
        pods=pods,
        gpus=pods * gpus_per_pod,
        cost_per_hour=price,
        cost_per_storyboard=price / load.per_hour if load.per_hour else 0.0,
    )
