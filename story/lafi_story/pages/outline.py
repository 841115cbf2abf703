"""The outlines of balloons: a superellipse |x/a|^4 + |y/b|^4 = 1, and its tail.

In its corners there is room for the text: a box of w x h fits into one of 2^(1/4) w x 2^(1/4) h.
"""

import math
from typing import Final

from lafi_story.pages.box import Box

Point = tuple[float, float]
GROWTH: Final = 2 ** (1 / 4)
_POINTS: Final = 96


def edge(body: Box, towards: Point) -> Point:
    """Where the line from the middle of a body to a point outside leaves it."""
    cx, cy = body.centre
    dx, dy = towards[0] - cx, towards[1] - cy
    reach = (abs(2 * dx / body.width) ** 4 + abs(2 * dy / body.height) ** 4) ** (1 / 4)
    return cx + dx / reach, cy + dy / reach


def balloon(body: Box, tip: Point | None, base: float) -> tuple[Point, ...]:
    """The outline as one polygon, clockwise; its tail is `base` wide where it leaves the body."""
    cx, cy = body.centre
    points = [_on(body, 2 * math.pi * step / _POINTS) for step in range(_POINTS)]
    if tip is None:
        return tuple(points)
    distance = math.hypot(tip[0] - cx, tip[1] - cy)
    ux, uy = (tip[0] - cx) / distance, (tip[1] - cy) / distance

    def under(point: Point) -> bool:
        along = (point[0] - cx) * ux + (point[1] - cy) * uy
        across = (point[1] - cy) * ux - (point[0] - cx) * uy
        return along > 0 and abs(across) < base / 2

    left, right = _foot(body, (ux, uy), -base / 2), _foot(body, (ux, uy), base / 2)
    after = math.atan2(right[1] - cy, right[0] - cx)

    def turn(point: Point) -> float:
        return (math.atan2(point[1] - cy, point[0] - cx) - after) % math.tau

    return (left, tip, right, *sorted((p for p in points if not under(p)), key=turn))


def _on(body: Box, angle: float) -> Point:
    cx, cy = body.centre
    c, s = math.cos(angle), math.sin(angle)
    return (
        cx + body.width / 2 * math.copysign(abs(c) ** 0.5, c),
        cy + body.height / 2 * math.copysign(abs(s) ** 0.5, s),
    )


def _foot(body: Box, direction: Point, aside: float) -> Point:
    """Where a line along `direction`, `aside` of the middle, leaves the body."""
    cx, cy = body.centre
    ux, uy = direction
    low, high = 0.0, body.width + body.height
    for _ in range(40):
        middle = (low + high) / 2
        x, y = ux * middle - uy * aside, uy * middle + ux * aside
        inside = (2 * x / body.width) ** 4 + (2 * y / body.height) ** 4 <= 1
        low, high = (middle, high) if inside else (low, middle)
    return cx + ux * low - uy * aside, cy + uy * low + ux * aside
