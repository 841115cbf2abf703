import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lafi_story.pages.box import Box
from lafi_story.pages.outline import GROWTH, balloon, edge

SIDES = st.floats(20, 400)
ANGLES = st.floats(0, 2 * math.pi)


def level(body: Box, point: tuple[float, float]) -> float:
    """Below 1 inside, 1 on the outline, above 1 outside."""
    cx, cy = body.centre
    return (2 * (point[0] - cx) / body.width) ** 4 + (2 * (point[1] - cy) / body.height) ** 4


@given(SIDES, SIDES)
def test_the_text_fits_into_the_outline(width: float, height: float):
    body = Box(0, 0, width * GROWTH, height * GROWTH)
    cx, cy = body.centre
    assert level(body, (cx + width / 2, cy + height / 2)) == pytest.approx(1)


@given(SIDES, SIDES, ANGLES)
def test_the_edge_lies_on_the_outline_towards_the_point(width: float, height: float, angle: float):
    body = Box(0, 0, width, height)
    cx, cy = body.centre
    away = (cx + 1000 * math.cos(angle), cy + 1000 * math.sin(angle))
    found = edge(body, away)
    assert level(body, found) == pytest.approx(1)
    assert math.atan2(found[1] - cy, found[0] - cx) == pytest.approx(
        math.atan2(away[1] - cy, away[0] - cx), abs=1e-6
    )


@given(SIDES, SIDES, ANGLES, st.floats(5, 60))
def test_a_tail_is_part_of_one_outline(width: float, height: float, angle: float, length: float):
    body = Box(0, 0, width, height)
    cx, cy = body.centre
    foot = edge(body, (cx + 1000 * math.cos(angle), cy + 1000 * math.sin(angle)))
    tip = (foot[0] + length * math.cos(angle), foot[1] + length * math.sin(angle))
    points = balloon(body, tip, 12.0)
    assert points.count(tip) == 1
    assert all(level(body, point) == pytest.approx(1, abs=1e-3) for point in points if point != tip)
    # The polygon goes around the middle once, always in the same direction.
    turns = [
        math.remainder(
            math.atan2(q[1] - cy, q[0] - cx) - math.atan2(p[1] - cy, p[0] - cx), math.tau
        )
        for p, q in zip(points, (*points[1:], points[0]), strict=True)
    ]
    assert sum(turns) == pytest.approx(math.tau)
    assert min(turns) > -1e-6


def test_it_is_filled_from_the_middle_to_the_tip():
    points = balloon(Box(20, 20, 120, 70), (70, 95), 14)
    image = Image.new("L", (140, 110))
    ImageDraw.Draw(image).polygon(points, fill=255)
    assert [image.getpixel(at) for at in ((70, 45), (70, 90), (25, 45))] == [255, 255, 255]
    assert [image.getpixel(at) for at in ((60, 90), (21, 21), (5, 5))] == [0, 0, 0]
