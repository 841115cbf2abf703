"""A page as pixels."""

from typing import Final

from PIL import Image, ImageDraw

from lafi_story.pages.outline import Point
from lafi_story.pages.page import BORDER, LINE_WIDTH, Page

_FINE: Final = 4
"""Shapes are drawn so many times as large and made smaller: Pillow's lines have no soft edges."""


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
        font = one.words.face.at(one.words.size)
        for line, point in one.words.lines:
            draw.text(point, line, fill="black", font=font, anchor="ms")
    return image


def _shape(image: Image.Image, points: tuple[Point, ...]) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, top = int(min(xs) - LINE_WIDTH), int(min(ys) - LINE_WIDTH)
    size = int(max(xs) + 2 * LINE_WIDTH) - left, int(max(ys) + 2 * LINE_WIDTH) - top
    fine = [((x - left) * _FINE, (y - top) * _FINE) for x, y in points]
    inside, line = (Image.new("L", (size[0] * _FINE, size[1] * _FINE)) for _ in range(2))
    ImageDraw.Draw(inside).polygon(fine, fill=255)
    ImageDraw.Draw(line).line([*fine, fine[0], fine[1]], 255, round(LINE_WIDTH * _FINE), "curve")
    for mask, colour in ((inside, "white"), (line, "black")):
        image.paste(colour, (left, top), mask.resize(size, Image.Resampling.BOX))
