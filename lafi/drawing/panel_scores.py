"""How much the characters of a panel look like themselves, as the recogniser sees it.

Knows storyboards and pixels, not how a panel is drawn.
"""

import math

import numpy as np

from lafi.board.error import problem
from lafi.board.letterbox import Pixels, fit
from lafi.board.storyboard import Panel, Storyboard
from lafi.ports.recogniser import Embeddings, Recogniser

_DIGITS = 4
"""Of a score; what other batches change in a float32 lies below them."""

_Box = tuple[float, float, float, float]
_WHOLE: _Box = (0.0, 0.0, 1.0, 1.0)


class PanelScores:
    """Scores of one storyboard's panels; none without a recogniser.

    A character's score in a panel is the cosine of the panel, or of the character's region in it,
    to the character's picture, given or drawn. One that has no picture has no score: nobody reads
    its reference, so no portrait was drawn; nor has a place. Nothing is computed before the first
    panel is finished, while others are still denoised.
    """

    def __init__(self, storyboard: Storyboard, recogniser: Recogniser | None) -> None:
        self._storyboard = storyboard
        self._recogniser = recogniser
        self._pictures: dict[str, Pixels] = {}
        self._known: dict[str, Embeddings] = {}

    def know(self, name: str, picture: Pixels) -> None:
        """Take note of a character's picture, RGB uint8 (H, W, 3): a portrait that was drawn, or a
        given reference letterboxed to the recogniser's side."""
        self._pictures[name] = picture

    def of(self, panel: Panel, pixels: Pixels) -> dict[str, float]:
        """Scores in [-1, 1] by name, of a finished panel RGB uint8 (H, W, 3)."""
        names = [name for name in self._storyboard.figures(panel) if self._has_picture(name)]
        if self._recogniser is None or not names:
            return {}
        boxes = {name: panel.regions.get(name, _WHOLE) for name in names}
        crops = list(dict.fromkeys(boxes.values()))
        new = [name for name in names if name not in self._known]
        side = self._recogniser.info.side
        pictures = [*(_cropped(pixels, box) for box in crops)]
        rows = self._recogniser([*pictures, *(self._picture(name, side) for name in new)])
        self._known.update(zip(new, rows[len(crops) :], strict=True))
        seen = dict(zip(crops, rows[: len(crops)], strict=True))
        return {name: _cosine(seen[boxes[name]], self._known[name]) for name in names}

    def _has_picture(self, name: str) -> bool:
        return name in self._pictures or self._storyboard.character(name).reference is not None

    def _picture(self, name: str, side: int) -> Pixels:
        """What is known of the character, else its reference as an enrolment sees it."""
        reference = self._storyboard.character(name).reference
        if name in self._pictures or reference is None:
            return self._pictures[name]
        return fit(reference.image(), side, side).pixels


def retry_problems(storyboard: Storyboard, recogniser: Recogniser | None) -> list[str]:
    """One line for each setting that asks for scores where there is no recogniser."""
    if recogniser is not None:
        return []
    allowed = "nothing here: this model was exported without a recogniser, so panels have no scores"
    given = {"retry_below": storyboard.retry_below} | {
        f"panels[{index}].retry_below": panel.retry_below
        for index, panel in enumerate(storyboard.panels)
    }
    return [problem(field, below, allowed) for field, below in given.items() if below is not None]


def _cropped(pixels: Pixels, box: _Box) -> Pixels:
    """The part in fractions of width and height, every pixel that it touches, one at least."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    left, top = min(math.floor(x0 * width), width - 1), min(math.floor(y0 * height), height - 1)
    right, bottom = max(math.ceil(x1 * width), left + 1), max(math.ceil(y1 * height), top + 1)
    return pixels[top:bottom, left:right]


def _cosine(one: Embeddings, other: Embeddings) -> float:
    return round(float(np.clip(np.dot(one, other), -1.0, 1.0)), _DIGITS)
