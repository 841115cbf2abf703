"""Flat shapes with an outline, drawn with Pillow at `OVERSAMPLE` times the picture's size."""

from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw

from lafi_tiny.hand.attributes import RGB
from lafi_tiny.hand.pose import Point

UNITS = 128
"""Picture units along a side, whatever its size in pixels."""
OVERSAMPLE = 3
INK: RGB = (48, 36, 46)

Light = tuple[float, float, float]
Shape = Sequence[tuple[Sequence[Point], float]]
"""Rounded polygons: corners in picture units and the radius by which each is grown."""


class Pen:
    """Draws in picture units onto an RGB canvas; `light` multiplies every colour."""

    def __init__(
        self, canvas: Image.Image, per_unit: float, light: Light = (1.0, 1.0, 1.0), left: float = 0
    ) -> None:
        self.canvas, self.per_unit, self.light, self.left = canvas, per_unit, light, left
        self.draw = ImageDraw.Draw(canvas)
        self.line = 1.15
        """Thickness of outlines in picture units."""

    def lit(self, colour: RGB) -> RGB:
        """The colour in this light."""
        r, g, b = self.light
        return round(colour[0] * r), round(colour[1] * g), round(colour[2] * b)

    def px(self, point: Point) -> Point:
        """Picture units to canvas pixels."""
        return (point[0] - self.left) * self.per_unit, point[1] * self.per_unit

    def oval(self, centre: Point, rx: float, ry: float, colour: RGB, *, ink: bool = False) -> None:
        """A filled ellipse of half axes rx, ry."""
        if ink:
            self.oval(centre, rx + self.line, ry + self.line, INK)
        (x, y), k = self.px(centre), self.per_unit
        box = (x - rx * k, y - ry * k, x + rx * k, y + ry * k)
        self.draw.ellipse(box, fill=self.lit(colour))

    def disc(self, centre: Point, radius: float, colour: RGB, *, ink: bool = False) -> None:
        """A filled circle."""
        self.oval(centre, radius, radius, colour, ink=ink)

    def polygon(self, points: Sequence[Point], colour: RGB) -> None:
        """A filled polygon without outline."""
        self.draw.polygon([self.px(p) for p in points], fill=self.lit(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: RGB) -> None:
        """A filled rectangle without outline."""
        if right > left and bottom > top:
            corners = (*self.px((left, top)), *self.px((right, bottom)))
            self.draw.rectangle(corners, fill=self.lit(colour))

    def stroke(self, points: Sequence[Point], width: float, colour: RGB) -> None:
        """A line with round ends."""
        rounded(
            self.draw, [self.px(p) for p in points], width * self.per_unit / 2, self.lit(colour)
        )

    def arc(
        self, centre: Point, rx: float, ry: float, start: float, stop: float, width: float
    ) -> None:
        """A part of an ellipse's outline in ink; degrees clockwise from the right."""
        (x, y), k = self.px(centre), self.per_unit
        box = (x - rx * k, y - ry * k, x + rx * k, y + ry * k)
        self.draw.arc(box, start, stop, fill=self.lit(INK), width=max(1, round(width * k)))

    def chord(
        self, centre: Point, rx: float, ry: float, start: float, stop: float, colour: RGB
    ) -> None:
        """A part of an ellipse, cut straight; degrees clockwise from the right."""
        (x, y), k = self.px(centre), self.per_unit
        box = (x - rx * k, y - ry * k, x + rx * k, y + ry * k)
        self.draw.chord(box, start, stop, fill=self.lit(colour))

    def shape(self, shape: Shape, colour: RGB, *, ink: bool = True, grow: float = 0.0) -> None:
        """Rounded polygons that touch, as one thing with one outline."""
        if ink:
            self.shape(shape, INK, ink=False, grow=grow + self.line)
        fill = self.lit(colour)
        for points, radius in shape:
            rounded_polygon(
                self.draw, [self.px(p) for p in points], (radius + grow) * self.per_unit, fill
            )

    def patterned(
        self, shape: Shape, colour: RGB, contrast: RGB, pattern: str, origin: Point, scale: float
    ) -> None:
        """An outlined shape of cloth; the pattern hangs from `origin`, so sleeves match the top."""
        self.shape(shape, colour)
        if pattern == "plain":
            return
        box = self._bounds(shape)
        if box[2] <= box[0] or box[3] <= box[1]:
            return
        size = (box[2] - box[0], box[3] - box[1])
        mask, pattern_mask = Image.new("L", size), Image.new("L", size)
        stencil = ImageDraw.Draw(mask)
        for points, radius in shape:
            moved = [(x - box[0], y - box[1]) for x, y in map(self.px, points)]
            rounded_polygon(stencil, moved, radius * self.per_unit, 255)
        x, y = self.px(origin)
        draw = ImageDraw.Draw(pattern_mask)
        paint = _stripes if pattern == "striped" else _dots
        paint(draw, size, (x - box[0], y - box[1]), scale * self.per_unit)
        self.canvas.paste(self.lit(contrast), box[:2], ImageChops.multiply(mask, pattern_mask))

    def _bounds(self, shape: Shape) -> tuple[int, int, int, int]:
        """Pixels that the shape touches, inside of the canvas."""
        xs, ys = [], []
        for points, radius in shape:
            r = radius * self.per_unit
            for x, y in map(self.px, points):
                xs += [x - r, x + r]
                ys += [y - r, y + r]
        return (
            max(0, int(min(xs))),
            max(0, int(min(ys))),
            min(self.canvas.width, int(max(xs)) + 2),
            min(self.canvas.height, int(max(ys)) + 2),
        )


def _stripes(draw: ImageDraw.ImageDraw, size: tuple[int, int], at: Point, unit: float) -> None:
    period = 7.4 * unit
    y = at[1] + 4.0 * unit
    y -= period * (1 + int(max(0.0, y) / period))
    while y < size[1]:
        draw.rectangle((0, y, size[0], y + 0.46 * period), fill=255)
        y += period


def _dots(draw: ImageDraw.ImageDraw, size: tuple[int, int], at: Point, unit: float) -> None:
    period, r = 7.6 * unit, 2.15 * unit
    for row in range(-7, 8):
        y = at[1] + (6.5 + 0.8 * 7.6 * row) * unit
        if not -r < y < size[1] + r:
            continue
        x = at[0] + (row % 2) * period / 2
        x -= period * (1 + int(max(0.0, x + r) / period))
        while x < size[0] + r:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
            x += period


def rounded_polygon(
    draw: ImageDraw.ImageDraw, pixels: Sequence[Point], radius: float, fill: RGB | int
) -> None:
    """A polygon (pixels) with its edges grown by `radius` pixels and its corners round."""
    if len(pixels) > 2:
        draw.polygon(list(pixels), fill=fill)
        rounded(draw, [*pixels, pixels[0]], radius, fill)
    else:
        rounded(draw, pixels, radius, fill)


def rounded(
    draw: ImageDraw.ImageDraw, pixels: Sequence[Point], radius: float, fill: RGB | int
) -> None:
    """A line through points (pixels), `radius` to each side, with round joints and ends."""
    if radius <= 0:
        return
    previous: Point | None = None
    for x, y in pixels:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        if previous is not None:
            dx, dy = x - previous[0], y - previous[1]
            length = (dx * dx + dy * dy) ** 0.5
            if length > 0:
                nx, ny = -dy / length * radius, dx / length * radius
                px, py = previous
                corners = [
                    (px + nx, py + ny),
                    (x + nx, y + ny),
                    (x - nx, y - ny),
                    (px - nx, py - ny),
                ]
                draw.polygon(corners, fill=fill)
        previous = (x, y)


def between(start: Point, end: Point, share: float) -> Point:
    """The point that lies `share` of the way from start to end."""
    return (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
