"""One picture of a whole storyboard: the characters on the left, the panels on the right."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw

from lafi_client.album import Album, PanelEntry
from lafi_client.caption_font import CaptionFont, caption_font

_CELL = 256
_GAP = 16
_CAPTION_LINES = 3
_PAPER = (250, 249, 246)
_INK = (34, 34, 34)
_FAINT = (120, 118, 112)
_EMPTY = (228, 226, 220)
_MID_GREY = (128, 128, 128)


def contact_sheet(album: Album) -> Image.Image:
    """RGB picture with every character's reference and every panel, captions below.

    Small panels are enlarged and large ones reduced to cells of 256 px. Characters that no
    installed font can show become "..." and a note says so.
    """
    return _Sheet(album).draw()


class _Sheet:
    def __init__(self, album: Album) -> None:
        self._album = album
        self._texts = [album.title, *(entry.caption for entry in album.panels)]
        self._text = caption_font(self._texts, 14)
        self._bold = caption_font(self._texts, 22)
        self._columns = max(1, min(4, math.ceil(math.sqrt(len(album.panels)))))
        self._cell_height = _CELL + _GAP + (_CAPTION_LINES + 1) * self._text.line_height
        self._top = _GAP * 2 + self._bold.line_height

    def draw(self) -> Image.Image:
        rows = max(math.ceil(len(self._album.panels) / self._columns), len(self._album.cast))
        width = _GAP + (self._columns + 1) * (_CELL + _GAP) + _GAP
        height = self._top + rows * self._cell_height + self._text.line_height + _GAP
        self._sheet = Image.new("RGB", (width, height), _PAPER)
        self._pen = ImageDraw.Draw(self._sheet)
        title = self._album.title
        if not any(character.isalnum() for character in self._bold.showable(title)):
            title = "Storyboard"
        self._write(_GAP, _GAP, self._bold.wrap(title, width - 2 * _GAP, 1), self._bold)
        for row, member in enumerate(self._album.cast):
            kind = "portrait, drawn" if member.drawn else "reference"
            self._cell(0, row, member.picture, f"{member.name} ({kind})", [])
        for i, entry in enumerate(self._album.panels):
            self._panel(1 + i % self._columns, i // self._columns, entry)
        self._note(height)
        return self._sheet

    def _panel(self, column: int, row: int, entry: PanelEntry) -> None:
        caption = self._text.wrap(entry.caption, _CELL, _CAPTION_LINES)
        scores = "".join(f", {name} {score:.2f}" for name, score in entry.scores)
        heading = f"panel {entry.number}, seed {entry.seed}{scores}"
        self._cell(column, row, entry.picture, heading, caption)
        if entry.picture is None:
            x, y = self._corner(column, row)
            message = self._text.wrap(entry.error or "not drawn", _CELL - 2 * _GAP, 8)
            self._write(x + _GAP, y + _GAP, message, self._text)

    def _cell(
        self, column: int, row: int, picture: bytes | None, heading: str, caption: list[str]
    ) -> None:
        x, y = self._corner(column, row)
        image = None if picture is None else _fitted(picture)
        if image is None:
            self._pen.rectangle((x, y, x + _CELL - 1, y + _CELL - 1), fill=_EMPTY)
        else:
            self._sheet.paste(
                image, (x + (_CELL - image.width) // 2, y + (_CELL - image.height) // 2)
            )
        below = y + _CELL + _GAP // 2
        self._write(x, below, self._text.wrap(heading, _CELL, 1), self._text, _FAINT)
        self._write(x, below + self._text.line_height, caption, self._text)

    def _corner(self, column: int, row: int) -> tuple[int, int]:
        """Top left of a cell in pixels; the characters' column stands a little apart."""
        apart = _GAP if column else 0
        return _GAP + column * (_CELL + _GAP) + apart, self._top + row * self._cell_height

    def _write(
        self,
        x: int,
        y: int,
        lines: list[str],
        font: CaptionFont,
        colour: tuple[int, int, int] = _INK,
    ) -> None:
        for i, line in enumerate(lines):
            self._pen.text((x, y + i * font.line_height), line, fill=colour, font=font.font)

    def _note(self, height: int) -> None:
        if all(self._text.can_show(character) for text in self._texts for character in text):
            return
        note = 'No font installed here shows all of the text ("..."); report.html has it.'
        self._write(_GAP, height - self._text.line_height - _GAP // 2, [note], self._text, _FAINT)


def _fitted(picture: bytes) -> Image.Image | None:
    """The picture as RGB within a cell, alpha on mid-grey; None if it cannot be decoded."""
    try:
        image = Image.open(io.BytesIO(picture)).convert("RGBA")
    except (OSError, ValueError):
        return None
    ground = Image.new("RGBA", image.size, (*_MID_GREY, 255))
    flat = Image.alpha_composite(ground, image).convert("RGB")
    scale = _CELL / max(flat.size)
    size = (max(1, round(flat.width * scale)), max(1, round(flat.height * scale)))
    return flat.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)
