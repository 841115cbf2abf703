"""Poses as named joints, and the picture of them that pose networks were trained on.

The skeleton is OpenPose's body model of 18 joints (arXiv:1812.08008), in the colours and widths in
which the authors of ControlNet draw it (arXiv:2302.05543, its `draw_bodypose`): limbs as ellipses
of 60% of their colour, 4 pixels to each side, then joints as discs of 4 pixels, on black, in a
picture whose shorter side has 512 pixels. In other sizes all is scaled, to 1 pixel at least.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from PIL import Image, ImageDraw

Joint = Literal[
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
]
JOINTS: Final[tuple[Joint, ...]] = get_args(Joint)
"""In OpenPose's order; right and left are the figure's own."""
LIMBS: Final[tuple[tuple[Joint, Joint], ...]] = (
    ("neck", "right_shoulder"),
    ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("neck", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("neck", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)
COLOURS: Final = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
"""Of joint i, and of limb i."""
Point = tuple[float, float]
Skeleton = Mapping[Joint, Point]
"""Joints that are to be seen, each (x, y) as fractions of width and height."""

_SIDE: Final = 512
_HALF_WIDTH: Final = 4.0
_LEAST_HALF_WIDTH: Final = 1.0
"""Less would leave gaps in a small picture."""
_LIMB_SHARE: Final = 0.6
_CORNERS: Final = 60
"""Of the polygon that stands for an ellipse."""


def skeleton_picture(skeletons: Sequence[Skeleton], width: int, height: int) -> Image.Image:
    """All figures on black, RGB, width x height pixels. A limb needs both of its joints."""
    image = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(image)
    half = max(_LEAST_HALF_WIDTH, _HALF_WIDTH * min(width, height) / _SIDE)
    for skeleton in skeletons:
        placed = {joint: (x * width, y * height) for joint, (x, y) in skeleton.items()}
        for (first, second), colour in zip(LIMBS, COLOURS, strict=False):
            if first in placed and second in placed:
                darker = tuple(int(_LIMB_SHARE * channel) for channel in colour)
                pen.polygon(_ellipse(placed[first], placed[second], half), fill=darker)
        for joint, colour in zip(JOINTS, COLOURS, strict=True):
            if joint in placed:
                x, y = placed[joint]
                pen.ellipse((x - half, y - half, x + half, y + half), fill=colour)
    return image


def _ellipse(first: Point, second: Point, half: float) -> list[Point]:
    """Corners of an ellipse from joint to joint, `half` pixels to each side of its middle."""
    (x0, y0), (x1, y1) = first, second
    along, angle = math.dist(first, second) / 2, math.atan2(y1 - y0, x1 - x0)
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    corners = []
    for corner in range(_CORNERS):
        turn = 2 * math.pi * corner / _CORNERS
        x, y = along * math.cos(turn), half * math.sin(turn)
        corners.append(
            (
                middle[0] + x * math.cos(angle) - y * math.sin(angle),
                middle[1] + x * math.sin(angle) + y * math.cos(angle),
            )
        )
    return corners
