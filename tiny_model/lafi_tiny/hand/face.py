"""Draw faces: eyes, brows and mouth in five expressions."""

from collections.abc import Callable

from lafi_tiny.hand.attributes import RGB
from lafi_tiny.hand.pen import INK, Pen
from lafi_tiny.hand.pose import Point

WHITE: RGB = (255, 255, 255)
MOUTH: RGB = (150, 36, 52)
CHEEK: RGB = (246, 140, 140)
TEAR: RGB = (70, 150, 245)

At = Callable[[float, float], Point]
"""From figure units around the head's centre to picture units."""


def draw_face(pen: Pen, at: At, unit: float, mirror: float, view: str, expression: str) -> None:
    """Eyes, brows and mouth of a head seen from the front or the side."""
    face = _Face(pen, at, unit, mirror, view)
    getattr(face, expression)()


class _Face:
    def __init__(self, pen: Pen, at: At, unit: float, mirror: float, view: str) -> None:
        self.pen, self.at, self.unit, self.mirror = pen, at, unit, mirror
        front = view == "front"
        self.eyes = ((2.0 - 5.2, 1.0), (2.0 + 5.2, 1.0)) if front else ((6.8, 1.0),)
        self.mouth = (2.4, 7.0) if front else (7.6, 7.0)
        self.wide = 1.0 if front else 0.72
        self.front = front

    def _inwards(self, index: int) -> float:
        """1 where the face's middle lies in the facing direction from this eye, else -1."""
        return 1.0 if self.front and index == 0 else -1.0 if self.front else 1.0

    def _dots(self, rx: float = 1.45, ry: float = 2.0) -> None:
        for x, y in self.eyes:
            self.pen.oval(self.at(x, y), rx * self.unit, ry * self.unit, INK)
            shine = self.at(x + 0.5, y - 0.8)
            self.pen.disc(shine, 0.55 * self.unit, WHITE)

    def _brows(self, inner: float, outer: float) -> None:
        """Brows whose inner and outer ends lie at these heights."""
        for index, (x, _) in enumerate(self.eyes):
            turn = self._inwards(index)
            ends = [self.at(x + turn * 2.8, inner), self.at(x - turn * 2.8, outer)]
            self.pen.stroke(ends, 1.5 * self.unit, INK)

    def _cheeks(self) -> None:
        for index, (x, _) in enumerate(self.eyes):
            out = -self._inwards(index) * (2.2 if self.front else 1.6)
            self.pen.oval(self.at(x + out, 5.6), 2.3 * self.unit, 1.7 * self.unit, CHEEK)

    def neutral(self) -> None:
        """Dots and a short line."""
        self._dots()
        x, y = self.mouth
        w = 2.1 * self.wide
        self.pen.stroke([self.at(x - w, y), self.at(x + w, y)], 1.25 * self.unit, INK)

    def happy(self) -> None:
        """Bright eyes, rosy cheeks, an open smile."""
        self._cheeks()
        self._dots(1.6, 2.3)
        x, y = self.mouth
        u, w = self.unit, 4.6 * self.wide
        centre = self.at(x, y - 1.4)
        self.pen.chord(centre, (w + 0.9) * u, 5.4 * u, 0, 180, INK)
        self.pen.chord(self.at(x, y - 0.9), w * u, 4.3 * u, 0, 180, MOUTH)
        self.pen.chord(self.at(x, y - 0.9), w * u, 1.5 * u, 0, 180, WHITE)

    def sad(self) -> None:
        """Brows up in the middle, a mouth that hangs, a tear."""
        self._dots(1.4, 1.8)
        self._brows(-4.0, -2.0)
        u = self.unit
        x, y = self.mouth
        self.pen.arc(self.at(x, y + 2.6), 3.4 * self.wide * u, 3.2 * u, 200, 340, 1.4 * u)
        ex, ey = self.eyes[-1]
        drop = [self.at(ex + 0.8, ey + 3.6), self.at(ex + 0.8, ey + 5.4)]
        self.pen.stroke(drop, 3.0 * u, TEAR)

    def angry(self) -> None:
        """Brows down in the middle, teeth shown."""
        self._dots(1.5, 1.7)
        self._brows(-1.2, -4.2)
        u, w = self.unit, 3.6 * self.wide
        x, y = self.mouth
        self.pen.stroke([self.at(x - w, y + 0.4), self.at(x + w, y + 0.4)], 4.6 * u, INK)
        self.pen.stroke([self.at(x - w, y + 0.4), self.at(x + w, y + 0.4)], 2.4 * u, WHITE)

    def surprised(self) -> None:
        """White round eyes, brows high, a round mouth."""
        u = self.unit
        for x, y in self.eyes:
            self.pen.disc(self.at(x, y), 3.3 * u, INK)
            self.pen.disc(self.at(x, y), 2.5 * u, WHITE)
            self.pen.disc(self.at(x, y), 1.2 * u, INK)
        self._brows(-4.9, -4.6)
        x, y = self.mouth
        self.pen.oval(self.at(x, y + 1.0), 2.9 * self.wide * u, 3.4 * u, INK)
        self.pen.oval(self.at(x, y + 1.0), 1.9 * self.wide * u, 2.4 * u, MOUTH)
