"""Skies and light: day, sunset, night and rain."""

import numpy as np

from lafi_tiny.hand.attributes import RGB
from lafi_tiny.hand.pen import Light, Pen

SKY: dict[str, RGB] = {
    "day": (154, 214, 250),
    "sunset": (255, 172, 104),
    "night": (42, 48, 108),
    "rain": (146, 160, 178),
}
LOW_SKY: dict[str, RGB] = {
    "day": (186, 228, 252),
    "sunset": (255, 206, 142),
    "night": (60, 70, 138),
    "rain": (168, 180, 194),
}
PLACE_LIGHT: dict[str, Light] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.80, 0.68),
    "night": (0.50, 0.55, 0.80),
    "rain": (0.76, 0.81, 0.88),
}
"""Multiplies the colours of a place."""
FIGURE_LIGHT: dict[str, Light] = {
    "day": (1.0, 1.0, 1.0),
    "sunset": (1.0, 0.95, 0.88),
    "night": (0.84, 0.86, 0.97),
    "rain": (0.93, 0.95, 0.98),
}
"""Multiplies the colours of characters: little, since who they are must stay plain."""


def draw_sky(
    pen: Pen, light: str, box: tuple[float, float, float, float], rng: np.random.Generator
) -> None:
    """Sky, sun or moon, clouds, stars or rain inside of (left, top, right, bottom)."""
    left, top, right, bottom = box
    dark = Pen(pen.canvas, pen.per_unit)
    dark.box(left, top, right, bottom, SKY[light])
    dark.box(left, top + 0.62 * (bottom - top), right, bottom, LOW_SKY[light])
    if right - left < 40:
        return
    _LIGHTS[light](dark, box, rng)


def _day(pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    left, top, right, _ = box
    x = rng.uniform(left + 10, right - 10)
    pen.disc((x, top + 14), 9.5, (255, 238, 150))
    pen.disc((x, top + 14), 7.5, (255, 222, 82))
    for _ in range(2):
        _cloud(pen, rng.uniform(left, right), top + rng.uniform(14, 44), (255, 255, 255))


def _sunset(pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    left, top, right, bottom = box
    x = rng.uniform(left + 14, right - 14)
    pen.disc((x, bottom - 6), 17, (255, 226, 140))
    pen.disc((x, bottom - 6), 13.5, (255, 246, 196))
    _cloud(pen, rng.uniform(left, right), top + rng.uniform(12, 30), (255, 206, 178))


def _night(pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    left, top, right, bottom = box
    for _ in range(round((right - left) / 8)):
        at = (rng.uniform(left, right), rng.uniform(top, bottom))
        pen.disc(at, rng.uniform(0.6, 1.0), (250, 246, 214))
    x = rng.uniform(left + 12, right - 12)
    pen.disc((x, top + 15), 9, (250, 244, 206))
    pen.disc((x + 4.4, top + 12.6), 7.6, SKY["night"])


def _rain(pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    left, top, right, _ = box
    for _ in range(3):
        _cloud(pen, rng.uniform(left, right), top + rng.uniform(6, 20), (112, 124, 144))


def _cloud(pen: Pen, x: float, y: float, colour: RGB) -> None:
    for dx, dy, rx, ry in ((-9, 1.5, 7, 4.4), (0, -1, 9, 6.6), (9, 1.5, 7, 4.4)):
        pen.oval((x + dx, y + dy), rx, ry, colour)


def draw_rain(pen: Pen, box: tuple[float, float, float, float], rng: np.random.Generator) -> None:
    """Slanting strokes over a place, behind the characters."""
    left, top, right, bottom = box
    bright = Pen(pen.canvas, pen.per_unit)
    count = round((right - left) * (bottom - top) / 230)
    for _ in range(count):
        x, y = rng.uniform(left + 3, right), rng.uniform(top, bottom - 7)
        bright.stroke([(x, y), (x - 2.6, y + 7.0)], 0.95, (206, 222, 240))


_LIGHTS = {"day": _day, "sunset": _sunset, "night": _night, "rain": _rain}
