"""Draw a background: where (six places) and when (three times of day)."""

import numpy as np
from PIL import Image, ImageDraw

from lafi_tiny.attributes import RGB, Scene
from lafi_tiny.figure import OVERSAMPLE

SKY: dict[str, RGB] = {"day": (140, 205, 250), "sunset": (250, 160, 96), "night": (24, 26, 66)}
LIGHT: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.76, 0.62),
    "night": (0.42, 0.46, 0.66),
}
GROUND: dict[str, RGB] = {
    "meadow": (120, 196, 84),
    "beach": (240, 214, 150),
    "city": (150, 150, 158),
    "snow": (240, 246, 252),
    "forest": (92, 122, 62),
    "room": (176, 122, 80),
}
HORIZON = 0.64
"""Where the ground begins, as a share of the picture's height."""


def draw_scene(scene: Scene, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """An RGB canvas of (height, width) picture units, OVERSAMPLE pixels each."""
    w, h = width * OVERSAMPLE, height * OVERSAMPLE
    canvas = Image.new("RGB", (w, h), SKY[scene.time])
    draw = ImageDraw.Draw(canvas)
    horizon = h * (HORIZON + rng.uniform(-0.03, 0.03))
    painter = _Painter(draw, w, h, horizon, scene.time, rng)
    if scene.background != "room":
        painter.sky_light()
    getattr(painter, scene.background)()
    return canvas


class _Painter:
    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        width: int,
        height: int,
        horizon: float,
        time: str,
        rng: np.random.Generator,
    ) -> None:
        self.draw, self.w, self.h, self.horizon = draw, width, height, horizon
        self.time, self.rng = time, rng

    def lit(self, colour: RGB) -> RGB:
        r, g, b = (round(c * k) for c, k in zip(colour, LIGHT[self.time], strict=True))
        return r, g, b

    def ground(self, name: str) -> None:
        self.draw.rectangle((0, self.horizon, self.w, self.h), fill=self.lit(GROUND[name]))

    def sky_light(self) -> None:
        x = self.rng.uniform(0.1, 0.9) * self.w
        u = OVERSAMPLE
        y, r = 8.0 * u, 5.0 * u
        colour: RGB = (255, 246, 170)
        if self.time == "night":
            r, colour = 4.5 * u, (244, 240, 200)
        elif self.time == "sunset":
            y, r, colour = self.horizon - 3 * u, 8.0 * u, (255, 226, 110)
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def meadow(self) -> None:
        self.ground("meadow")
        u = OVERSAMPLE
        for _ in range(7):
            x = self.rng.uniform(0, self.w)
            y = self.rng.uniform(self.horizon + 4 * u, self.h - u)
            colour = self.lit([(250, 240, 90), (250, 250, 250), (240, 120, 170)][_ % 3])
            self.draw.ellipse((x - 1.2 * u, y - 1.2 * u, x + 1.2 * u, y + 1.2 * u), fill=colour)

    def beach(self) -> None:
        u = OVERSAMPLE
        self.ground("beach")
        sea = self.lit((40, 140, 190))
        self.draw.rectangle((0, self.horizon - 11 * u, self.w, self.horizon + u), fill=sea)
        for y in (self.horizon - 7 * u, self.horizon - 2.5 * u):
            self.draw.line((0, y, self.w, y), fill=self.lit((190, 232, 244)), width=u)

    def city(self) -> None:
        u = OVERSAMPLE
        self.ground("city")
        x = -self.rng.uniform(0, 8) * u
        k = int(self.rng.integers(3))
        while x < self.w:
            width, top = self.rng.uniform(11, 16) * u, self.rng.uniform(6, 20) * u
            wall = self.lit([(176, 96, 84), (128, 136, 156), (198, 170, 130)][k % 3])
            self.draw.rectangle((x, top, x + width, self.horizon), fill=wall)
            self._windows(x, top, width)
            x += width + u
            k += 1

    def _windows(self, x: float, top: float, width: float) -> None:
        u = OVERSAMPLE
        glass: RGB = (255, 226, 120) if self.time == "night" else self.lit((214, 234, 246))
        for row in range(6):
            y = top + (3 + 6 * row) * u
            if y + 3 * u > self.horizon:
                return
            for share in (0.2, 0.62):
                left = x + share * width
                self.draw.rectangle((left, y, left + 2.6 * u, y + 3 * u), fill=glass)

    def snow(self) -> None:
        u = OVERSAMPLE
        for _ in range(3):
            x, size = self.rng.uniform(0, self.w), self.rng.uniform(16, 22) * u
            base = self.horizon + 2 * u
            for k in range(3):
                y, half = base - k * size * 0.26, size * (0.36 - 0.07 * k)
                self.draw.polygon(
                    [(x - half, y), (x + half, y), (x, y - size * 0.5)], fill=self.lit((38, 96, 84))
                )
        self.ground("snow")
        for _ in range(14):
            x, y = self.rng.uniform(0, self.w), self.rng.uniform(0, self.horizon)
            self.draw.ellipse((x - u, y - u, x + u, y + u), fill=self.lit((255, 255, 255)))

    def forest(self) -> None:
        u = OVERSAMPLE
        self.draw.rectangle((0, 0, self.w, self.horizon), fill=self.lit((60, 112, 60)))
        self.draw.rectangle((0, 0, self.w, 9 * u), fill=SKY[self.time])
        self.ground("forest")
        x = self.rng.uniform(-4, 6) * u
        while x < self.w:
            trunk = self.rng.uniform(3.5, 5) * u
            self.draw.rectangle(
                (x, 4 * u, x + trunk, self.horizon + 3 * u), fill=self.lit((110, 74, 46))
            )
            r = self.rng.uniform(8, 10) * u
            cx, cy = x + trunk / 2, 8 * u
            self.draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=self.lit((40, 140, 56)))
            x += self.rng.uniform(14, 19) * u

    def room(self) -> None:
        u = OVERSAMPLE
        self.draw.rectangle((0, 0, self.w, self.h), fill=self.lit((240, 206, 190)))
        self.draw.rectangle(
            (0, self.horizon, self.w, self.horizon + 1.5 * u), fill=self.lit((250, 244, 236))
        )
        self.draw.rectangle(
            (0, self.horizon + 1.5 * u, self.w, self.h), fill=self.lit(GROUND["room"])
        )
        x = self.rng.uniform(0.05, 0.7) * self.w
        frame = (x, 5 * u, x + 18 * u, 25 * u)
        self.draw.rectangle(frame, fill=SKY[self.time], outline=self.lit((255, 255, 255)), width=6)
        self.draw.line(
            (x + 9 * u, 5 * u, x + 9 * u, 25 * u), fill=self.lit((255, 255, 255)), width=5
        )
