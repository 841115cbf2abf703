"""What a page consists of: pictures, shapes and lines of text, in the order of painting.

Each kind of file paints exactly this.
"""

from dataclasses import dataclass

from PIL import Image

from lafi_story.pages.box import Box
from lafi_story.pages.outline import Point
from lafi_story.pages.source import DrawnPanel
from lafi_story.pages.typeface import LINE, MIDDLE, Typeface

ORIGIN = "Pictures drawn by a model, laid out by LAFI"
"""Stands in every file."""
BORDER = 3.0
"""Width of the line around a panel, in pixels."""
LINE_WIDTH = 2.0
"""Of the line around a balloon."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A panel's picture: it covers its place; what is beyond on two sides is cut away evenly."""

    panel: int
    drawn: DrawnPanel
    place: Box

    @property
    def seen(self) -> Box:
        """The part of the picture that is seen, in its own pixels."""
        drawn = self.drawn
        scale = max(self.place.width / drawn.width, self.place.height / drawn.height)
        width, height = self.place.width / scale, self.place.height / scale
        x, y = (drawn.width - width) / 2, (drawn.height - height) / 2
        right, low = min(x + width, drawn.width), min(y + height, drawn.height)
        return Box(max(x, 0.0), max(y, 0.0), right, low)

    def image(self, width: int, height: int) -> Image.Image:
        """What is seen, RGB, at this size in pixels."""
        with Image.open(self.drawn.path) as image:
            pixels = image.convert("RGB")
        return pixels.resize((width, height), Image.Resampling.LANCZOS, box=self.seen)


@dataclass(frozen=True, slots=True)
class Shape:
    """White inside a thin black line."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """Lines of black text, each centred at its point on the baseline. size: pixels."""

    lines: tuple[tuple[str, Point], ...]
    face: Typeface
    size: int

    @classmethod
    def within(cls, box: Box, lines: tuple[str, ...], face: Typeface, size: int) -> "Words":
        """Lines in the middle of a box."""
        x, middle = box.centre
        first = middle - (len(lines) - 1) / 2 * LINE * size + MIDDLE * size
        return cls(
            tuple((line, (x, first + at * LINE * size)) for at, line in enumerate(lines)),
            face,
            size,
        )


@dataclass(frozen=True, slots=True)
class Lettered:
    """A text on the page. tip: of its tail; under: whether it stands under its panel."""

    panel: int
    kind: str
    speaker: str
    text: str
    body: Box
    shape: Shape | None
    words: Words
    tip: Point | None = None
    under: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page in pixels; it is white."""

    width: int
    height: int
    dpi: int
    pictures: tuple[Picture, ...]
    letters: tuple[Lettered, ...]


@dataclass(frozen=True, slots=True)
class Comic:
    """All pages, and what the files say about them."""

    title: str
    language: str
    right_to_left: bool
    pages: tuple[Page, ...]
    notes: tuple[str, ...] = ()

    @property
    def faces(self) -> tuple[Typeface, ...]:
        """The fonts that text is set in, each once."""
        used = (one.words.face for page in self.pages for one in page.letters)
        return tuple(dict.fromkeys(used))
