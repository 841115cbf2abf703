"""One picture that compares settings of a storyboard: a row per setting, a column per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL import Image, ImageDraw

from lafi.board.storyboard import PLACEHOLDER, Storyboard
from lafi.wire.events import PanelImage
from lafi_client.caption_font import CaptionFont, caption_font
from lafi_client.contact_sheet import CELL, EMPTY, FAINT, GAP, INK, PAPER, fitted

_LABEL_LINES, _CAPTION_LINES = 10, 3


class Row(Protocol):
    """The content of a row: its settings as text, and its panels by number."""

    @property
    def label(self) -> Sequence[str]: ...
    @property
    def storyboard(self) -> Storyboard: ...
    @property
    def pictures(self) -> Mapping[int, PanelImage]: ...
    @property
    def errors(self) -> Mapping[int, str]: ...


def comparison_sheet(title: str, rows: Sequence[Row], columns: Sequence[int]) -> Image.Image:
    """RGB picture with the settings on the left and the panels' prompts above their columns.

    Pictures are scaled to cells of 256 px, with seconds and scores below.
    """
    panels = rows[0].storyboard.panels
    captions = [f"{n}: " + PLACEHOLDER.sub(r"\1", panels[n].prompt) for n in columns]
    texts = [title, *captions, *(line for row in rows for line in row.label)]
    text, bold = caption_font(texts, 14), caption_font(texts, 22)
    head = GAP * 2 + bold.line_height + _CAPTION_LINES * text.line_height
    height = CELL + GAP + text.line_height
    width = GAP + (1 + len(columns)) * (CELL + GAP)
    sheet = Image.new("RGB", (width, head + len(rows) * height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, GAP, GAP, bold.wrap(title or "Comparison", width - 2 * GAP, 1), bold, INK)
    for place, caption in enumerate(captions, 1):
        lines = text.wrap(caption, CELL, _CAPTION_LINES)
        _write(pen, _left(place), GAP + bold.line_height + GAP // 2, lines, text, INK)
    for index, row in enumerate(rows):
        top = head + index * height
        lines = [part for line in row.label for part in text.wrap(line, CELL, _LABEL_LINES)]
        _write(pen, GAP, top, lines[: CELL // text.line_height], text, INK)
        for place, number in enumerate(columns, 1):
            _cell(sheet, pen, (_left(place), top), row, number, text)
    return sheet


def _cell(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    row: Row,
    number: int,
    font: CaptionFont,
) -> None:
    x, y = corner
    panel = row.pictures.get(number)
    image = None if panel is None else fitted(panel.png)
    if panel is None or image is None:
        pen.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=EMPTY)
        lines = font.wrap(row.errors.get(number, "not drawn"), CELL - 2 * GAP, 8)
        _write(pen, x + GAP, y + GAP, lines, font, INK)
        return
    sheet.paste(image, (x + (CELL - image.width) // 2, y + (CELL - image.height) // 2))
    scores = "".join(f", {name} {score:.2f}" for name, score in panel.scores.items())
    below = font.wrap(f"{panel.seconds:.1f} s{scores}", CELL, 1)
    _write(pen, x, y + CELL + GAP // 4, below, font, FAINT)


def _left(place: int) -> int:
    """Left edge of a column in pixels; column 0 holds the settings."""
    return GAP + place * (CELL + GAP)


def _write(
    pen: ImageDraw.ImageDraw,
    x: int,
    y: int,
    lines: Sequence[str],
    font: CaptionFont,
    colour: tuple[int, int, int],
) -> None:
    for place, line in enumerate(lines):
        pen.text((x, y + place * font.line_height), line, fill=colour, font=font.font)
