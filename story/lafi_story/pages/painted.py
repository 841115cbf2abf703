"""A page as pixels."""

import math
from typing import Final

from PIL import Image, ImageDraw

from lafi_story.pages.box import Box
from lafi_story.pages.outline import Point
from lafi_story.pages.page import BORDER, LINE_WIDTH, Page, Words

_FINE: Final = 4
"""Shapes and text are painted so many times as large and made smaller: Pillow's lines have no soft
edges, and its letters at small sizes stand on whole pixels, so that lines would be too long."""


def painted(page: Page) -> Image.Image:
    """The page, RGB uint8, width x height as `Page` has them."""
    image = Image.new("RGB", (page.width, page.height), "white")
    draw = ImageDraw.Draw(image)
    for picture in page.pictures:
        place = picture.place
        x, y = round(place.x0), round(place.y0)
        width, height = round(place.x1) - x, round(place.y1) - y
        image.paste(picture.image(width, height), (x, y))
        draw.rectangle((x, y, x + width - 1, y + height - 1), outline="black", width=round(BORDER))
    for one in page.letters:
        if one.shape is not None:
            _shape(image, one.shape.points)
        _words(image, one.words)
    return image


def _shape(image: Image.Image, points: tuple[Point, ...]) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    around = Box(min(xs), min(ys), max(xs), max(ys)).grown(2 * LINE_WIDTH)
    inside, line = _Fine(around), _Fine(around)
    fine = [inside.at(point) for point in points]
    inside.draw.polygon(fine, fill=255)
    line.draw.line([*fine, fine[0], fine[1]], 255, round(LINE_WIDTH * _FINE), "curve")
    inside.paste(image, "white")
    line.paste(image, "black")


def _words(image: Image.Image, words: Words) -> None:
    font = words.face.at(words.size * _FINE)
    for text, (x, y) in words.lines:
        half = words.face.length(text) * words.size / 2
        line = _Fine(Box(x - half, y - words.size, x + half, y).grown(words.size))
        line.draw.text(line.at((x, y)), text, fill=255, font=font, anchor="ms")
        line.paste(image, "black")


class _Fine:
    """A mask over a part of the page, `_FINE` times as large until it is pasted."""

    def __init__(self, part: Box) -> None:
        self._corner = math.floor(part.x0), math.floor(part.y0)
        x, y = self._corner
        self._size = math.ceil(part.x1) - x, math.ceil(part.y1) - y
        self._mask = Image.new("L", (self._size[0] * _FINE, self._size[1] * _FINE))
        self.draw = ImageDraw.Draw(self._mask)

    def at(self, point: Point) -> Point:
        """A point of the page on the mask."""
        return (point[0] - self._corner[0]) * _FINE, (point[1] - self._corner[1]) * _FINE

    def paste(self, image: Image.Image, colour: str) -> None:
        """Paint the page in this colour where the mask is set."""
        image.paste(colour, self._corner, self._mask.resize(self._size, Image.Resampling.BOX))
