"""Draw what a character holds or plays with."""

from lafi_tiny.hand.attributes import RGB
from lafi_tiny.hand.pen import INK, Pen, between
from lafi_tiny.hand.pose import Limb, Point, Skeleton

BALL: tuple[RGB, RGB] = ((255, 120, 60), (255, 250, 240))
UMBRELLA: tuple[RGB, RGB] = ((232, 66, 120), (255, 214, 226))
BOOK: tuple[RGB, RGB] = ((70, 110, 200), (255, 252, 240))
BALLOON: RGB = (238, 60, 74)
TEDDY: tuple[RGB, RGB] = ((170, 112, 66), (232, 196, 150))
FLOATING = ("umbrella", "balloon")
"""Props that are drawn behind all characters, so that they hide nobody."""
TOP_MARGIN = 15.0
"""What floats over a figure stays this far below the picture's upper edge, in figure units."""


def draw_prop(pen: Pen, prop: str, bones: Skeleton, arm: Limb, action: str) -> None:
    """Draw the prop in the hand of `arm`; a ball is at the foot of a figure that kicks."""
    if prop != "none":
        _PAINTERS[prop](pen, prop_centre(prop, bones, arm, action), arm[2], bones)


def prop_centre(prop: str, bones: Skeleton, arm: Limb, action: str) -> Point:
    """The middle of a prop in picture units."""
    (x, y), u, m = arm[2], bones.scale, bones.mirror
    out = 1.0 if x >= bones.neck[0] else -1.0
    if prop == "ball":
        if action == "kicking":
            knee, foot = bones.near_leg[1:]
            ball = between(knee, foot, 1.95)
            return ball[0], ball[1] - 1.0 * u
        return between(arm[1], arm[2], 1.75)
    if prop == "umbrella":
        above = min(y - 26.0 * u, bones.head[1] - 9.0 * u)
        return x + out * 1.5 * u, max(above, TOP_MARGIN * u)
    if prop == "balloon":
        above = min(y - 29.0 * u, bones.head[1] - 8.0 * u)
        beside = bones.head[0] + out * max(22.0 * u, abs(x - bones.head[0]) + 3.0 * u)
        return beside, max(above, TOP_MARGIN * u)
    if prop == "book":
        return x + m * 1.0 * u, y - 3.0 * u
    return x + out * 1.5 * u, y + 4.0 * u


def _ball(pen: Pen, centre: Point, hand: Point, bones: Skeleton) -> None:
    u, r = bones.scale, 8.2 * bones.scale
    pen.disc(centre, r, BALL[0], ink=True)
    pen.chord(centre, r, r, 20, 80, BALL[1])
    pen.chord(centre, r, r, 200, 260, BALL[1])
    pen.disc(centre, 2.2 * u, BALL[1])


def _umbrella(pen: Pen, centre: Point, hand: Point, bones: Skeleton) -> None:
    u = bones.scale
    x, y = centre
    pen.stroke([hand, (x, y)], 2.2 * u, INK)
    pen.stroke([hand, (hand[0], hand[1] + 3.4 * u)], 2.4 * u, INK)
    wide, high, low = 21.0 * u, 15.0 * u, y + 4.0 * u
    grown = pen.line
    pen.chord((x, low), wide + grown, high + grown, 180, 360, INK)
    pen.box(x - wide - grown, low - 0.5 * u, x + wide + grown, low + 0.3 * u + grown, INK)
    pen.chord((x, low), wide, high, 180, 360, UMBRELLA[0])
    pen.chord((x, low), 0.42 * wide, high, 180, 360, UMBRELLA[1])
    pen.stroke([(x, low - high), (x, low - high - 2.6 * u)], 1.8 * u, INK)


def _book(pen: Pen, centre: Point, hand: Point, bones: Skeleton) -> None:
    u = bones.scale
    x, y = centre
    cover = [
        (x - 9 * u, y - 6.4 * u),
        (x, y - 4.2 * u),
        (x + 9 * u, y - 6.4 * u),
        (x + 9 * u, y + 5 * u),
        (x, y + 7.2 * u),
        (x - 9 * u, y + 5 * u),
    ]
    pen.shape([(cover, 0.9 * u)], BOOK[0])
    for side in (-1, 1):
        page = [
            (x + side * 0.8 * u, y - 3.4 * u),
            (x + side * 7.6 * u, y - 5.2 * u),
            (x + side * 7.6 * u, y + 3.4 * u),
            (x + side * 0.8 * u, y + 5.2 * u),
        ]
        pen.polygon(page, BOOK[1])


def _balloon(pen: Pen, centre: Point, hand: Point, bones: Skeleton) -> None:
    u = bones.scale
    x, y = centre
    pen.stroke([hand, (x, y + 11 * u)], 0.95 * u, INK)
    knot = [(x, y + 10 * u), (x - 2.2 * u, y + 13.2 * u), (x + 2.2 * u, y + 13.2 * u)]
    pen.shape([(knot, 0.3 * u)], BALLOON)
    pen.oval(centre, 9.2 * u, 11.0 * u, BALLOON, ink=True)
    pen.oval((x - 3.2 * u, y - 4.2 * u), 1.9 * u, 2.8 * u, (255, 196, 196))


def _teddy(pen: Pen, centre: Point, hand: Point, bones: Skeleton) -> None:
    u = bones.scale
    x, y = centre
    fur, snout = TEDDY
    limbs = [(-5.6, 6.0), (5.6, 6.0), (-4.0, 13.0), (4.0, 13.0)]
    body = [([(x, y + 8.0 * u)], 5.4 * u)]
    body += [([(x + dx * u, y + dy * u)], 2.6 * u) for dx, dy in limbs]
    pen.shape(body, fur)
    ears = [([(x + side * 4.6 * u, y - 4.6 * u)], 2.4 * u) for side in (-1, 1)]
    pen.shape([([(x, y)], 5.8 * u), *ears], fur)
    pen.oval((x, y + 1.8 * u), 2.8 * u, 2.2 * u, snout)
    for dx, dy in ((-2.2, -1.4), (2.2, -1.4), (0.0, 1.0)):
        pen.disc((x + dx * u, y + dy * u), 0.85 * u, INK)


_PAINTERS = {
    "ball": _ball,
    "umbrella": _umbrella,
    "book": _book,
    "balloon": _balloon,
    "teddy": _teddy,
}
