"""How a flow model's noise levels are shifted towards noise, by a number or by the picture's size.

Knows one stage's settings and its scheduler config, not the levels themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lafi.board.stages import SamplingStage, TimeShift

DYNAMIC = ("base_shift", "max_shift", "time_shift_type")
_DEFAULTS = {"base_shift": 0.5, "max_shift": 1.15}


@dataclass(frozen=True, slots=True)
class FlowShift:
    """t -> value * t / (1 + (value - 1) * t), t in [0, 1] (arXiv:2403.03206, section 5.3.2).

    mu    of a shift that follows the picture's size: value is exp(mu), or mu where `kind` is
          linear; None where the shift is fixed
    """

    value: float
    mu: float | None = None
    kind: TimeShift = "exponential"

    def shifted(self, t: float) -> float:
        return self.value * t / (1.0 + (self.value - 1.0) * t)


def flow_shift(
    stage: SamplingStage, config: Mapping[str, Any], size: tuple[int, int] | None
) -> FlowShift:
    """The shift of a stage: its own, else by its own base and max, else as the model's config says.

    size: (h, w) of the picture in tokens of the model.
    Raises ValueError where the shift follows the size and there is none, or comes out at 0 or less.
    """
    if stage.shift is not None:
        return FlowShift(stage.shift)
    given = any(getattr(stage, name) is not None for name in DYNAMIC)
    if not given and not config.get("use_dynamic_shifting"):
        return FlowShift(float(config.get("shift", 1.0)))
    if size is None:
        raise ValueError("size: got nothing, allowed: (height, width) in tokens, for the shift")
    base, most = (_number(stage, config, name) for name in ("base_shift", "max_shift"))
    kind = stage.time_shift_type or config.get("time_shift_type", "exponential")
    few = int(config.get("base_image_seq_len", 256))
    many = int(config.get("max_image_seq_len", 4096))
    # A straight line through (few, base) and (many, most), as FLUX draws it.
    slope = (most - base) / (many - few)
    mu = size[0] * size[1] * slope + (base - slope * few)
    if kind == "exponential":
        return FlowShift(math.exp(mu), mu, kind)
    if mu <= 0.0:
        raise ValueError(
            f"base_shift and max_shift: got {base:g} and {most:g}, which make a linear shift of "
            f"{mu:g} at {size[0]} x {size[1]} tokens, allowed: more than 0"
        )
    return FlowShift(mu, mu, kind)


def _number(stage: SamplingStage, config: Mapping[str, Any], name: str) -> float:
    own = getattr(stage, name)
    return float(own if own is not None else config.get(name) or _DEFAULTS[name])
