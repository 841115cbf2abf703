"""Draw one character: limbs, clothes, head and what it holds, from the far side to the near."""

import math
from dataclasses import dataclass

from lafi_tiny.hand.attributes import BOTTOM, RGB, SKIN, TOP, Identity
from lafi_tiny.hand.head import Head
from lafi_tiny.hand.pen import Pen, Shape, between
from lafi_tiny.hand.pose import FAR_HAND_HOLDS, Limb, Point, Pose, Skeleton, half_width, solve
from lafi_tiny.hand.props import FLOATING, draw_prop

SHOE: RGB = (96, 62, 58)
CONTRAST: dict[str, RGB] = {"yellow": (222, 106, 36), "white": (104, 128, 200)}
"""Colour of stripes and dots on tops that are too light for white ones."""
LIGHT_PRINT: RGB = (255, 250, 240)


@dataclass(frozen=True, slots=True)
class Figure:
    """One character in a picture. `x` and `ground` in picture units, `facing` left or right."""

    identity: Identity
    action: str
    pose: Pose
    x: float
    ground: float
    scale: float
    facing: str
    view: str = "front"
    expression: str = "neutral"
    prop: str = "none"

    @property
    def holding_arm(self) -> Limb:
        """The arm that holds the prop, if there is one."""
        bones = self.skeleton()
        return bones.far_arm if self.action in FAR_HAND_HOLDS else bones.near_arm

    def skeleton(self) -> Skeleton:
        """Where its joints are, in picture units."""
        return solve(
            self.pose,
            x=self.x,
            ground=self.ground,
            scale=self.scale,
            facing=self.facing,
            half_width=half_width(self.identity, self.view),
        )


def draw_floating(pen: Pen, figure: Figure) -> None:
    """What floats over a character, to be drawn before all of them."""
    if figure.prop in FLOATING:
        pen.line = outline(figure)
        draw_prop(pen, figure.prop, figure.skeleton(), figure.holding_arm, figure.action)


def outline(figure: Figure) -> float:
    """Thickness of a character's outline in picture units."""
    return min(1.9, max(0.85, 1.15 * figure.scale))


def draw_figure(pen: Pen, figure: Figure) -> None:
    """Draw a character with what it holds, but for what floats."""
    pen.line = outline(figure)
    body = _Body(pen, figure)
    head = Head(pen, figure.identity, body.bones, figure.view, figure.expression)
    bones = body.bones
    head.hair_behind()
    body.arm(bones.far_arm)
    body.legs()
    body.torso()
    holds_far = figure.action in FAR_HAND_HOLDS
    holding = figure.prop not in ("none", *FLOATING)
    if holds_far and holding:
        draw_prop(pen, figure.prop, bones, bones.far_arm, figure.action)
        body.hand(bones.far_arm)
    head.neck()
    head.draw()
    body.arm(bones.near_arm)
    if not holds_far and holding:
        draw_prop(pen, figure.prop, bones, bones.near_arm, figure.action)
        body.hand(bones.near_arm)


class _Body:
    def __init__(self, pen: Pen, figure: Figure) -> None:
        self.pen, self.figure, self.who = pen, figure, figure.identity
        self.bones = figure.skeleton()
        self.unit = figure.scale
        slim = self.who.build == "slim"
        self.sleeve = (3.9 if slim else 4.9) * self.unit
        self.leg = (4.5 if slim else 5.6) * self.unit
        self.skin = SKIN[self.who.skin]

    def _cloth(self, shape: Shape) -> None:
        top = self.who.top
        self.pen.patterned(
            shape,
            TOP[top],
            CONTRAST.get(top, LIGHT_PRINT),
            self.who.pattern,
            self.bones.neck,
            self.unit,
        )

    def arm(self, limb: Limb) -> None:
        shoulder, elbow, hand = limb
        cuff = between(hand, elbow, 0.22)
        self.hand(limb)
        self._cloth([((shoulder, elbow, cuff)[:2], self.sleeve), ((elbow, cuff), self.sleeve)])

    def hand(self, limb: Limb) -> None:
        """A palm beyond the cuff, and a thumb that says which way it looks."""
        _, elbow, hand = limb
        palm = between(elbow, hand, 1.06)
        dx, dy = hand[0] - elbow[0], hand[1] - elbow[1]
        length = max(1e-6, math.hypot(dx, dy))
        side = -self.bones.mirror * 2.6 * self.unit
        thumb = (hand[0] - dy / length * side, hand[1] + dx / length * side)
        self.pen.shape(
            [((between(elbow, hand, 0.86), palm), 3.3 * self.unit), ((thumb,), 1.7 * self.unit)],
            self.skin,
        )

    def legs(self) -> None:
        """Both legs, then what hangs over both."""
        garment, colour = self.who.garment, BOTTOM[self.who.bottom]
        for limb in (self.bones.far_leg, self.bones.near_leg):
            hip, knee, foot = limb
            self._shoe(knee, foot)
            if garment == "trousers":
                self.pen.shape([((hip, knee), self.leg), ((knee, foot), self.leg)], colour)
                continue
            thin = 0.72 * self.leg
            self.pen.shape([((hip, knee), thin), ((knee, foot), thin)], self.skin)
            if garment == "shorts":
                end = between(hip, knee, 0.78)
                self.pen.shape([((hip, end), 1.12 * self.leg)], colour)
        if garment == "skirt":
            self._skirt(colour)

    def _shoe(self, knee: Point, foot: Point) -> None:
        dx, dy = foot[0] - knee[0], foot[1] - knee[1]
        length = max(1e-6, math.hypot(dx, dy))
        forward = (self.bones.mirror * dy / length, -self.bones.mirror * dx / length)
        u = self.unit
        heel = (foot[0] - 0.8 * forward[0] * u, foot[1] - 0.8 * forward[1] * u)
        toe = (foot[0] + 5.4 * forward[0] * u, foot[1] + 5.4 * forward[1] * u)
        self.pen.shape([((heel, toe), 3.4 * u)], SHOE)

    def _skirt(self, colour: RGB) -> None:
        u, b = self.unit, self.bones
        hip = b.hip
        wide = half_width(self.who, self.figure.view)
        corners = [
            (hip[0] - (wide - 3) * u, hip[1] - 1.0 * u),
            (hip[0] + (wide - 3) * u, hip[1] - 1.0 * u),
        ]
        hem = []
        for limb, out in ((b.near_leg, 1.0), (b.far_leg, -1.0)):
            x, y = between(limb[0], limb[1], 0.92)
            hem.append((x + out * b.mirror * 3.4 * u, y))
        hem.sort(key=lambda p: -p[0])
        middle = ((hem[0][0] + hem[1][0]) / 2, max(hem[0][1], hem[1][1], hip[1] + 7 * u))
        self.pen.shape([((*corners, hem[0], middle, hem[1]), 2.6 * u)], colour)

    def torso(self) -> None:
        (hx, hy), (nx, ny) = self.bones.hip, self.bones.neck
        u, wide = self.unit, half_width(self.who, self.figure.view)
        r = 4.2
        round_belly = 1.0 if self.who.build == "slim" else 1.06
        corners = (
            (nx - (wide - r - 1.4) * u, ny + (r + 0.6) * u),
            (nx + (wide - r - 1.4) * u, ny + (r + 0.6) * u),
            (hx + (wide * round_belly - r) * u, hy - 1.2 * u),
            (hx - (wide * round_belly - r) * u, hy - 1.2 * u),
        )
        self._cloth([(corners, r * u)])
