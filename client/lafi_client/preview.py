"""A picture in a terminal: two pixels per character, in 24-bit colour."""

from __future__ import annotations

import io

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

_UPPER_HALF = "\u2580"


def preview(picture: bytes, columns: int = 32) -> Text:
    """The encoded picture as half-block characters, at most `columns` wide.

    Raises OSError if it cannot be decoded.
    """
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    width = min(columns, image.width)
    height = max(2, round(image.height * width / image.width / 2) * 2)
    pixels = image.resize((width, height), Image.Resampling.BOX)
    text = Text()
    for y in range(0, height, 2):
        for x in range(width):
            style = Style(color=_colour(pixels, x, y), bgcolor=_colour(pixels, x, y + 1))
            text.append(_UPPER_HALF, style)
        text.append("\n")
    text.rstrip()
    return text


def _colour(image: Image.Image, x: int, y: int) -> Color:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)  # the image is RGB
    red, green, blue = pixel
    return Color.from_rgb(red, green, blue)
