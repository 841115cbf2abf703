"""Draw the eight places, each with a few things that come and go."""

import numpy as np

from lafi_tiny.hand.attributes import RGB, Scene
from lafi_tiny.hand.pen import UNITS, Pen
from lafi_tiny.hand.sky import PLACE_LIGHT, draw_rain, draw_sky

GROUND: dict[str, RGB] = {
    "meadow": (132, 204, 96),
    "beach": (246, 220, 160),
    "city": (166, 166, 176),
    "snow": (242, 247, 253),
    "forest": (98, 130, 70),
    "room": (196, 140, 92),
    "farm": (226, 190, 92),
    "library": (78, 122, 108),
}
INDOORS = ("room", "library")
FLOWERS: tuple[RGB, ...] = ((252, 240, 110), (255, 255, 255), (244, 130, 176))
HOUSES: tuple[RGB, ...] = ((238, 142, 124), (124, 170, 208), (246, 208, 130), (158, 196, 150))
SPINES: tuple[RGB, ...] = (
    (204, 76, 70),
    (66, 112, 176),
    (240, 194, 84),
    (94, 158, 108),
    (238, 232, 216),
    (146, 98, 162),
)


def draw_place(
    pen: Pen, scene: Scene, width: float, horizon: float, rng: np.random.Generator
) -> None:
    """Fill (width, 128) picture units with a place in its light; the ground begins at `horizon`."""
    pen.light = PLACE_LIGHT[scene.light]
    painter = _Painter(pen, scene.light, width, horizon, rng)
    if scene.place not in INDOORS:
        draw_sky(pen, scene.light, (0, 0, width, horizon), rng)
    getattr(painter, scene.place)()
    if scene.light == "rain" and scene.place not in INDOORS:
        draw_rain(pen, (0, 0, width, UNITS), rng)


class _Painter:
    def __init__(
        self, pen: Pen, light: str, width: float, horizon: float, rng: np.random.Generator
    ) -> None:
        self.pen, self.light, self.w, self.y, self.rng = pen, light, width, horizon, rng

    def _ground(self, name: str) -> None:
        self.pen.box(0, self.y, self.w, UNITS, GROUND[name])

    def _x(self, margin: float = 0.0) -> float:
        return float(self.rng.uniform(margin, self.w - margin))

    def _hill(self, x: float, rx: float, ry: float, colour: RGB) -> None:
        self.pen.chord((x, self.y + 1), rx, ry, 180, 360, colour)

    def meadow(self) -> None:
        """Hills and flowers."""
        self._hill(self._x(), 52, 17, (150, 212, 120))
        self._hill(self._x(), 40, 11, (118, 190, 92))
        self._ground("meadow")
        for k in range(round(self.w / 9)):
            x, y = self._x(), self.rng.uniform(self.y + 6, UNITS - 2)
            if k % 3 == 0:
                for dx in (-1.6, 0, 1.6):
                    self.pen.stroke([(x, y), (x + dx, y - 3.4)], 1.0, (96, 168, 70))
            else:
                self.pen.disc((x, y), 2.1, FLOWERS[k % 3])
                self.pen.disc((x, y), 0.8, (246, 176, 60))

    def beach(self) -> None:
        """Sea, a sail, a palm, shells."""
        sea = self.y - 15
        self.pen.box(0, sea, self.w, self.y, (60, 150, 214))
        x = self._x(8)
        self.pen.polygon([(x, sea - 12), (x, sea - 1), (x + 8, sea - 1)], (255, 255, 255))
        self.pen.polygon(
            [(x - 6, sea), (x + 9, sea), (x + 6, sea + 4), (x - 3, sea + 4)], (206, 84, 70)
        )
        self.pen.box(0, self.y - 2.0, self.w, self.y, (236, 246, 252))
        self._ground("beach")
        for _ in range(round(self.w / 18)):
            self.pen.oval((self._x(), self.rng.uniform(self.y + 5, 126)), 2.2, 1.4, (240, 170, 140))
        x = self._x() if self.rng.random() < 0.6 else -99.0
        self.pen.stroke([(x, self.y + 6), (x + 3, self.y - 30)], 3.6, (150, 104, 66))
        for dx, dy in ((-15, 3), (-11, -7), (12, -8), (15, 2)):
            top = (x + 3, self.y - 31)
            tip = (top[0] + dx, top[1] + dy)
            low = (top[0] + 0.4 * dx, top[1] + dy + 3)
            self.pen.shape([((top, tip, low), 1.6)], (62, 156, 86), ink=False)

    def city(self) -> None:
        """A row of houses with windows, a pavement, a lamp."""
        x, k = self.rng.uniform(-14, 0), int(self.rng.integers(4))
        glass: RGB = (255, 226, 120) if self.light in ("night", "sunset") else (206, 232, 246)
        bright = Pen(self.pen.canvas, self.pen.per_unit)
        while x < self.w:
            wide, top = self.rng.uniform(22, 30), self.y - self.rng.uniform(38, 66)
            self.pen.box(x, top, x + wide - 1.2, self.y, HOUSES[k % 4])
            self.pen.box(x - 1, top - 3, x + wide - 0.2, top, (110, 84, 84))
            for row in range(int((self.y - top - 10) / 14)):
                for column in (0.2, 0.6):
                    left, low = x + column * wide, top + 6 + 14 * row
                    bright.box(left, low, left + 5.4, low + 7.6, glass)
            x, k = x + wide, k + 1
        self._ground("city")
        self.pen.box(0, self.y, self.w, self.y + 7, (206, 204, 206))
        for x in np.arange(self.rng.uniform(-12, 0), self.w, 26):
            self.pen.box(x, UNITS - 12, x + 13, UNITS - 9, (244, 240, 226))

    def snow(self) -> None:
        """Firs, a snowman now and then, flakes."""
        self._hill(self._x(), 56, 15, (226, 236, 248))
        for _ in range(max(2, round(self.w / 36))):
            x, size = self._x(), self.rng.uniform(28, 40)
            for k in range(3):
                low, half = self.y + 3 - k * 0.27 * size, size * (0.36 - 0.07 * k)
                tip = low - 0.5 * size
                self.pen.polygon([(x - half, low), (x + half, low), (x, tip)], (52, 118, 104))
                snow = [(x - 0.4 * half, low - 0.3 * size), (x + 0.4 * half, low - 0.3 * size)]
                self.pen.polygon([*snow, (x, tip)], (238, 244, 252))
        self._ground("snow")
        if self.rng.random() < 0.4:
            x = self._x(8)
            for dy, r in ((0, 8), (-11, 6)):
                self.pen.disc((x, self.y + 2 + dy), r + 0.8, (176, 194, 216))
                self.pen.disc((x, self.y + 2 + dy), r, (255, 255, 255))
            self.pen.polygon(
                [(x, self.y - 10), (x + 6, self.y - 8.4), (x, self.y - 7.6)], (240, 130, 40)
            )
        if self.light != "rain":
            for _ in range(round(self.w / 5)):
                at = (self._x(), self.rng.uniform(0, UNITS))
                self.pen.disc(at, 1.2, (255, 255, 255))

    def forest(self) -> None:
        """Trunks under a roof of leaves, mushrooms."""
        self.pen.box(0, 12, self.w, self.y, (84, 140, 84))
        self._ground("forest")
        x = self.rng.uniform(-8, 10)
        while x < self.w:
            wide = self.rng.uniform(7, 10)
            self.pen.box(x, 10, x + wide, self.y + 4, (126, 86, 58))
            x += self.rng.uniform(24, 36)
        x = self.rng.uniform(-8, 4)
        while x < self.w + 8:
            r = self.rng.uniform(13, 18)
            self.pen.disc((x, 14), r, (58, 150, 74) if r > 15.5 else (78, 172, 84))
            x += 13
        for _ in range(round(self.w / 26)):
            x, y = self._x(), self.rng.uniform(self.y + 8, 125)
            self.pen.box(x - 1.1, y - 3, x + 1.1, y, (250, 240, 222))
            self.pen.chord((x, y - 2.6), 3.4, 3.2, 180, 360, (214, 70, 60))

    def _window(self, x: float, top: float, wide: float, high: float) -> None:
        """A window with what the weather is."""
        self.pen.box(x - 2, top - 2, x + wide + 2, top + high + 2, (255, 250, 242))
        pane = (x, top, x + wide, top + high)
        draw_sky(self.pen, self.light, pane, self.rng)
        bright = Pen(self.pen.canvas, self.pen.per_unit)
        if self.light == "rain":
            draw_rain(self.pen, pane, self.rng)
        elif self.light == "night":
            bright.disc((x + 0.3 * wide, top + 0.3 * high), 4.6, (250, 244, 206))
        elif self.light == "sunset":
            bright.chord((x + 0.5 * wide, top + high), 8, 8, 180, 360, (255, 246, 190))
        else:
            bright.disc((x + 0.7 * wide, top + 0.3 * high), 4.6, (255, 226, 90))
        middle = x + wide / 2
        self.pen.box(middle - 0.9, top, middle + 0.9, top + high, (255, 250, 242))
        self.pen.box(x, top + high / 2 - 0.9, x + wide, top + high / 2 + 0.9, (255, 250, 242))

    def room(self) -> None:
        """A warm wall, a window, a picture, a rug."""
        self.pen.box(0, 0, self.w, self.y, (252, 218, 200))
        self._ground("room")
        self.pen.box(0, self.y - 3.4, self.w, self.y, (255, 246, 236))
        x = self.rng.uniform(5, self.w - 39)
        self._window(x, 12, 34, 36)
        for side in (x - 5.5, x + 31.5):
            self.pen.box(side, 8, side + 8, 52, (120, 178, 190))
        other = x + 62 if x < self.w - 88 else x - 32
        self.pen.box(other, 18, other + 20, 40, (176, 120, 76))
        self.pen.box(other + 2, 20, other + 18, 38, (236, 244, 226))
        self.pen.disc((other + 10, 30), 5, (238, 120, 110))
        self.pen.oval((self.w / 2, UNITS - 9), 0.42 * self.w, 12, (232, 112, 104))
        self.pen.oval((self.w / 2, UNITS - 9), 0.36 * self.w, 9, (250, 214, 190))

    def farm(self) -> None:
        """A red barn, a fence, rows of wheat."""
        self._hill(self._x(), 54, 13, (170, 200, 108))
        x = self._x(20)
        low = self.y + 1
        self.pen.box(x - 17, low - 26, x + 17, low, (206, 66, 58))
        roof = [(x - 20, low - 25), (x - 12, low - 38), (x + 12, low - 38), (x + 20, low - 25)]
        self.pen.polygon(roof, (120, 62, 62))
        self.pen.box(x - 7, low - 17, x + 7, low, (250, 240, 226))
        self.pen.box(x - 5.4, low - 15.4, x + 5.4, low, (156, 46, 46))
        self._ground("farm")
        for k, y in enumerate(np.arange(self.y + 14, UNITS + 6, 11)):
            for x in np.arange(-4 + 4 * (k % 2), self.w, 9):
                self.pen.stroke([(x, y), (x + 1.2, y - 5)], 1.7, (190, 146, 56))
        for x in np.arange(self.rng.uniform(-10, 0), self.w, 17):
            self.pen.box(x, self.y - 6, x + 2.8, self.y + 6, (250, 246, 236))
        for y in (self.y - 3.4, self.y + 1.6):
            self.pen.box(0, y, self.w, y + 2, (250, 246, 236))

    def library(self) -> None:
        """Shelves full of books, a window, a carpet."""
        self.pen.box(0, 0, self.w, self.y, (150, 104, 70))
        shelf = 24.0
        for row in range(int(self.y // shelf) + 1):
            low = self.y - 3 - row * shelf
            self.pen.box(0, low - 20, self.w, low, (104, 68, 46))
            x = self.rng.uniform(-3, 2)
            while x < self.w:
                wide, high = self.rng.uniform(4.4, 7.4), self.rng.uniform(12, 18.5)
                if self.rng.random() > 0.1:
                    colour = SPINES[int(self.rng.integers(len(SPINES)))]
                    self.pen.box(x, low - high, x + wide - 0.8, low, colour)
                x += wide
        x = self.rng.uniform(4, self.w - 38)
        self.pen.box(x - 5, 3, x + 39, 50, (150, 104, 70))
        self._window(x, 8, 34, 36)
        self._ground("library")
        self.pen.box(0, self.y, self.w, self.y + 2.6, (120, 80, 54))
