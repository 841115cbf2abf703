"""Windows given as shares of a stage: injection, guidance and step reuse have one each.

Knows numbers alone.
"""

_SLACK = 1e-9
"""A window's edge such as 0.8 * 30 is not exact in binary; steps are a whole one apart."""


def in_window(step: int, steps: int, start: float, end: float) -> bool:
    """Whether step i of N, from 0, lies in the window: start <= i / N < end.

    Exact where an edge falls on a step, whatever its binary form.
    """
    return start * steps <= step + _SLACK < end * steps


def share_in_window(share: float, start: float, end: float) -> bool:
    """Whether a share in [0, 1] lies in the window: start <= share < end."""
    return start <= share + _SLACK < end


def whole_steps_in_window(step: int, steps: int, start: float, end: float) -> bool:
    """Whether all of step i of N lies in the window: start <= i / N and (i + 1) / N <= end.

    As diffusers' pipelines read `control_guidance_start` and `control_guidance_end`.
    """
    return start <= step / steps and (step + 1) / steps <= end
