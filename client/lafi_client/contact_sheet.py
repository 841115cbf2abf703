"""One picture of a whole storyboard: characters on the left, panels on the right."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw

from lafi_client.album import Album, PanelEntry
from lafi_client.caption_font import CaptionFont, caption_font

CELL = 256
GAP = 16
_CAPTION_LINES = 3
PAPER = (250, 249, 246)
INK = (34, 34, 34)
FAINT = (120, 118, 112)
EMPTY = (228, 226, 220)
_MID_GREY = (128, 128, 128)


def contact_sheet(album: Album) -> Image.Image:
    """RGB picture with every character's reference and every panel, captions below.

    Panels are scaled to cells of 256 px. Letters that no installed font can show become "...",
    and a note says so.
    """
    return _Sheet(album).draw()


class _Sheet:
    def __init__(self, album: Album) -> None:
        self._album = album
        self._texts = [album.title, *(entry.caption for entry in album.panels)]
        self._text = caption_font(self._texts, 14)
        self._bold = caption_font(self._texts, 22)
        self._columns = max(1, min(4, math.ceil(math.sqrt(len(album.panels)))))
        self._cell_height = CELL + GAP + (_CAPTION_LINES + 1) * self._text.line_height
        self._top = GAP * 2 + self._bold.line_height

    def draw(self) -> Image.Image:
        rows = max(math.ceil(len(self._album.panels) / self._columns), len(self._album.cast))
        width = GAP + (self._columns + 1) * (CELL + GAP) + GAP
        height = self._top + rows * self._cell_height + self._text.line_height + GAP
        self._sheet = Image.new("RGB", (width, height), PAPER)
        self._pen = ImageDraw.Draw(self._sheet)
        title = self._album.title
        if not any(character.isalnum() for character in self._bold.showable(title)):
            title = "Storyboard"
        self._write(GAP, GAP, self._bold.wrap(title, width - 2 * GAP, 1), self._bold)
        for row, member in enumerate(self._album.cast):
            kind = "portrait, drawn" if member.drawn else "reference"
            self._cell(0, row, member.picture, f"{member.name} ({kind})", [])
        for i, entry in enumerate(self._album.panels):
            self._panel(1 + i % self._columns, i // self._columns, entry)
        self._note(height)
        return self._sheet

    def _panel(self, column: int, row: int, entry: PanelEntry) -> None:
        caption = self._text.wrap(entry.caption, CELL, _CAPTION_LINES)
        scores = "".join(f", {name} {score:.2f}" for name, score in entry.scores)
        heading = f"panel {entry.number}, seed {entry.seed}{scores}"
        self._cell(column, row, entry.picture, heading, caption)
        if entry.picture is None:
            x, y = self._corner(column, row)
            message = self._text.wrap(entry.error or "not drawn", CELL - 2 * GAP, 8)
            self._write(x + GAP, y + GAP, message, self._text)

    def _cell(
        self, column: int, row: int, picture: bytes | None, heading: str, caption: list[str]
    ) -> None:
        x, y = self._corner(column, row)
        image = None if picture is None else fitted(picture)
        if image is None:
            self._pen.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=EMPTY)
        else:
            self._sheet.paste(
                image, (x + (CELL - image.width) // 2, y + (CELL - image.height) // 2)
            )
        below = y + CELL + GAP // 2
        self._write(x, below, self._text.wrap(heading, CELL, 1), self._text, FAINT)
        self._write(x, below + self._text.line_height, caption, self._text)

    def _corner(self, column: int, row: int) -> tuple[int, int]:
        """Top left corner of a cell in pixels; a gap follows the characters' column."""
        apart = GAP if column else 0
        return GAP + column * (CELL + GAP) + apart, self._top + row * self._cell_height

    def _write(
        self,
        x: int,
        y: int,
        lines: list[str],
        font: CaptionFont,
        colour: tuple[int, int, int] = INK,
    ) -> None:
        for i, line in enumerate(lines):
            self._pen.text((x, y + i * font.line_height), line, fill=colour, font=font.font)

    def _note(self, height: int) -> None:
        if all(self._text.can_show(character) for text in self._texts for character in text):
            return
        note = 'No font installed here shows all of the text ("..."); report.html has it.'
        self._write(GAP, height - self._text.line_height - GAP // 2, [note], self._text, FAINT)


def fitted(picture: bytes) -> Image.Image | None:
    """The picture as RGB, scaled to a cell, alpha on mid-grey; None if it cannot be decoded."""
    try:
        image = Image.open(io.BytesIO(picture)).convert("RGBA")
    except (OSError, ValueError):
        return None
    ground = Image.new("RGBA", image.size, (*_MID_GREY, 255))
    flat = Image.alpha_composite(ground, image).convert("RGB")
    scale = CELL / max(flat.size)
    size = (max(1, round(flat.width * scale)), max(1, round(flat.height * scale)))
    return flat.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)
