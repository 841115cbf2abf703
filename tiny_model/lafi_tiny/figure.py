"""Draw one character with Pillow, at `OVERSAMPLE` times the picture's size."""

from PIL import Image, ImageChops, ImageDraw

from lafi_tiny.attributes import HAIR, RGB, SKIN, TOP, TROUSERS, Identity
from lafi_tiny.pose import Limb, Point, Pose, Skeleton, solve

OVERSAMPLE = 4
OUTLINE: RGB = (28, 24, 32)
SHOE: RGB = (52, 44, 48)
LIMB = 4.6
"""Thickness of a sleeve or trouser leg in figure units."""


def half_width(identity: Identity) -> float:
    """Half of the torso's width in figure units."""
    return 4.6 if identity.build == "slim" else 7.4


def draw_figure(
    canvas: Image.Image,
    identity: Identity,
    pose: Pose,
    *,
    x: float,
    ground: float,
    scale: float,
    facing: str,
) -> None:
    """Draw a character onto an RGB canvas whose side is OVERSAMPLE pixels per picture unit."""
    skeleton = solve(
        pose, x=x, ground=ground, scale=scale, facing=facing, half_width=half_width(identity)
    )
    brush = _Brush(canvas, skeleton, identity)
    brush.hair_behind()
    brush.arm(skeleton.far_arm)
    brush.leg(skeleton.far_leg)
    brush.leg(skeleton.near_leg)
    brush.torso()
    brush.head()
    brush.arm(skeleton.near_arm)


class _Brush:
    def __init__(self, canvas: Image.Image, skeleton: Skeleton, identity: Identity) -> None:
        self.canvas = canvas
        self.draw = ImageDraw.Draw(canvas)
        self.bones = skeleton
        self.who = identity
        self.unit = skeleton.scale * OVERSAMPLE
        self.line = 0.75 * self.unit

    def _px(self, point: Point) -> Point:
        return point[0] * OVERSAMPLE, point[1] * OVERSAMPLE

    def _disc(
        self, centre: Point, radius: float, colour: RGB | int, draw: ImageDraw.ImageDraw
    ) -> None:
        cx, cy = self._px(centre)
        r = radius * self.unit
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)

    def _outlined_disc(self, centre: Point, radius: float, colour: RGB) -> None:
        self._disc(centre, radius + 0.75, OUTLINE, self.draw)
        self._disc(centre, radius, colour, self.draw)

    def _stroke(
        self, points: Limb, width: float, colour: RGB | int, draw: ImageDraw.ImageDraw
    ) -> None:
        pixels = [self._px(p) for p in points]
        draw.line(pixels, fill=colour, width=round(width * self.unit), joint="curve")
        for p in points:
            self._disc(p, width / 2, colour, draw)

    def _cloth(self, shape: Image.Image, colour: RGB, pattern: str) -> None:
        """Fill a mask with cloth; the pattern hangs in picture space, so sleeves match the top."""
        self.canvas.paste(colour, mask=shape)
        if pattern == "plain":
            return
        contrast: RGB = (250, 250, 250) if sum(colour) < 620 else (60, 60, 76)
        box = shape.getbbox()
        if box is None:
            return
        print_mask = Image.new("L", self.canvas.size)
        pen = ImageDraw.Draw(print_mask)
        origin = self._px(self.bones.neck)
        if pattern == "striped":
            self._stripes(pen, box, origin[1])
        else:
            self._dots(pen, box, origin)
        self.canvas.paste(contrast, mask=ImageChops.multiply(print_mask, shape))

    def _stripes(
        self, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], origin: float
    ) -> None:
        period = 5.2 * self.unit
        y = origin - 8 * period + 2.4 * self.unit
        while y < box[3]:
            pen.rectangle((box[0], y, box[2], y + 0.46 * period), fill=255)
            y += period

    def _dots(self, pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], at: Point) -> None:
        period, r = 4.9 * self.unit, 1.35 * self.unit
        for row in range(-6, 7):
            shift = (row % 2) * period / 2
            for column in range(-7, 8):
                cx = at[0] + column * period + shift
                cy = at[1] + 2.4 * self.unit + row * period * 0.8
                if box[0] - r < cx < box[2] + r and box[1] - r < cy < box[3] + r:
                    pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)

    def arm(self, points: Limb) -> None:
        self._outlined_disc(points[2], 2.1, SKIN[self.who.skin])
        self._stroke(points, LIMB + 1.3, OUTLINE, self.draw)
        wrist = _towards(points[2], points[1], 0.15)
        shape = Image.new("L", self.canvas.size)
        self._stroke((points[0], points[1], wrist), LIMB, 255, ImageDraw.Draw(shape))
        self._cloth(shape, TOP[self.who.top], self.who.pattern)
        self._disc(points[2], 2.1, SKIN[self.who.skin], self.draw)

    def leg(self, points: Limb) -> None:
        foot = (points[2][0] + self.bones.mirror * 1.2 * self.bones.scale, points[2][1])
        self._stroke(points, LIMB + 1.9, OUTLINE, self.draw)
        self._outlined_disc(foot, 2.3, SHOE)
        self._stroke(points, LIMB + 0.5, TROUSERS[self.who.trousers], self.draw)
        self._disc(foot, 2.3, SHOE, self.draw)

    def torso(self) -> None:
        wide = half_width(self.who)
        shape = self._torso_shape(wide + 0.75, 0.75)
        self.canvas.paste(OUTLINE, mask=shape)
        self._cloth(self._torso_shape(wide, 0.0), TOP[self.who.top], self.who.pattern)

    def _torso_shape(self, wide: float, grow: float) -> Image.Image:
        (hx, hy), (nx, ny) = self.bones.hip, self.bones.neck
        s = self.bones.scale
        corners = [
            (nx - (wide - 1) * s, ny + (0.6 - grow) * s),
            (nx + (wide - 1) * s, ny + (0.6 - grow) * s),
            (hx + wide * s, hy + (1.4 + grow) * s),
            (hx - wide * s, hy + (1.4 + grow) * s),
        ]
        shape = Image.new("L", self.canvas.size)
        ImageDraw.Draw(shape).polygon([self._px(c) for c in corners], fill=255)
        return shape

    def hair_behind(self) -> None:
        if self.who.hairstyle == "long":
            x, y = self._px(self.bones.head)
            u = self.unit
            for grow, colour in ((0.75, OUTLINE), (0.0, HAIR[self.who.hair])):
                w, low = (8.6 + grow) * u, (11.0 + grow) * u
                self.draw.rounded_rectangle(
                    (x - w, y - 2 * u, x + w, y + low), radius=3 * u, fill=colour
                )

    def head(self) -> None:
        head, hair = self.bones.head, HAIR[self.who.hair]
        if self.who.hairstyle == "bun":
            self._outlined_disc((head[0], head[1] - 9.6 * self.bones.scale), 3.6, hair)
        if self.who.hairstyle == "spiky":
            self._spikes(hair)
        self._outlined_disc(head, 7.6, SKIN[self.who.skin])
        self._fringe(hair)
        if self.who.accessory == "scarf":
            self._scarf()
        self._face()
        if self.who.accessory == "cap":
            self._cap()

    def _fringe(self, hair: RGB) -> None:
        x, y = self._px(self.bones.head)
        r = 7.6 * self.unit
        turn = -12 * self.bones.mirror
        self.draw.chord((x - r, y - r, x + r, y + r), 190 + turn, 350 + turn, fill=hair)

    def _spikes(self, hair: RGB) -> None:
        x, y = self._px(self.bones.head)
        u = self.unit
        for grow, colour in ((0.8, OUTLINE), (0.0, hair)):
            for k in (-2, -1, 0, 1, 2):
                tip = (x + k * 4.6 * u, y - (12.6 + grow - abs(k) * 2.4) * u)
                base = (k * 3.0 - 2.9 - grow, k * 3.0 + 2.9 + grow)
                low = y - (5.2 - abs(k) * 1.6) * u
                self.draw.polygon(
                    [tip, (x + base[0] * u, low), (x + base[1] * u, low)], fill=colour
                )

    def _face(self) -> None:
        u, m = self.bones.scale, self.bones.mirror
        x, y = self.bones.head[0] + 1.9 * m * u, self.bones.head[1] + 1.6 * u
        for side in (-1, 1):
            eye = (x + side * 2.9 * u, y)
            if self.who.accessory == "glasses":
                self._disc(eye, 2.7, OUTLINE, self.draw)
                self._disc(eye, 1.8, (236, 250, 255), self.draw)
            self._disc(eye, 0.95, OUTLINE, self.draw)
        mx, my = self._px((x + 0.5 * m * u, y + 3.4 * u))
        w = 1.5 * self.unit
        self.draw.line((mx - w, my, mx + w, my), fill=(150, 40, 50), width=round(0.8 * self.unit))

    def _cap(self) -> None:
        x, y = self._px(self.bones.head)
        u, m = self.unit, self.bones.mirror
        for grow, colour in ((0.75, OUTLINE), (0.0, (20, 150, 160))):
            r = (8.3 + grow) * u
            self.draw.chord((x - r, y - r - u, x + r, y + r - u), 180, 360, fill=colour)
            ends = sorted((x + m * 1.0 * u, x + m * (12.6 + grow) * u))
            self.draw.rectangle(
                (ends[0], y - (2.6 + grow) * u, ends[1], y - (0.8 - grow) * u), fill=colour
            )

    def _scarf(self) -> None:
        x, y = self._px(self.bones.neck)
        u, m = self.unit, self.bones.mirror
        for grow, colour in ((0.75, OUTLINE), (0.0, (255, 130, 20))):
            w, h = (5.8 + grow) * u, (1.7 + grow) * u
            self.draw.rounded_rectangle((x - w, y - h, x + w, y + h), radius=1.4 * u, fill=colour)
            ends = sorted((x - m * (2.0 - grow) * u, x - m * (5.4 + grow) * u))
            self.draw.rectangle((ends[0], y, ends[1], y + (7.0 + grow) * u), fill=colour)


def _towards(start: Point, end: Point, share: float) -> Point:
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
