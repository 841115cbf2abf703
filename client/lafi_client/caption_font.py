"""Text for pictures: finds a font that can show it and breaks it into lines that fit."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib import resources

from PIL import ImageFont

_SHIPPED = "NotoSansSC-GB2312.otf"
"""In the folder `fonts`, with its licence: Western letters and simplified Chinese."""
_FONT_FILES = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "simhei.ttf",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
# Chinese and Japanese may break after any character, other text only at spaces.
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]\s*|[^\s\u2e80-\u9fff\uf900-\uffef]+\s*"
)
_UNASSIGNED = "\U0010fffe"


class CaptionFont:
    """A font at one size in pixels, with a test for the characters that it can show."""

    def __init__(self, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> None:
        self.font = font
        self._shown: dict[str, bool] = {}

    @cached_property
    def line_height(self) -> int:
        """Pixels from one line to the next."""
        top, bottom = self.font.getbbox("Åg")[1::2]
        return round((bottom - top) * 1.25)

    def can_show(self, character: str) -> bool:
        """Whether the font has a glyph for this character."""
        if character not in self._shown:
            self._shown[character] = character.isspace() or self._has_glyph(character)
        return self._shown[character]

    def showable(self, text: str) -> str:
        """The text on one line; each run of characters without a glyph becomes an ellipsis."""
        kept = "".join(c if self.can_show(c) else "\0" for c in " ".join(text.split()))
        return re.sub(r"\0[\0 ]*\0|\0", "...", kept)

    def wrap(self, text: str, width: float, lines: int) -> list[str]:
        """At most `lines` lines of at most `width` pixels; ends in ... if text is cut off."""
        wrapped = self._all_lines(self.showable(text), width)
        if len(wrapped) <= lines:
            return wrapped
        last = wrapped[lines - 1]
        while last and self.font.getlength(last + "...") > width:
            last = last[:-1]
        return [*wrapped[: lines - 1], last.rstrip() + "..."]

    def _all_lines(self, text: str, width: float) -> list[str]:
        lines, line = [], ""
        for token in _TOKEN.findall(text):
            if line and self.font.getlength((line + token).rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            for character in token:
                if line.strip() and self.font.getlength((line + character).rstrip()) > width:
                    lines.append(line.rstrip())
                    line = ""
                line += character
        return [*lines, line.rstrip()] if line.strip() else lines

    def _has_glyph(self, character: str) -> bool:
        try:
            return self._mask(character) != self._mask(_UNASSIGNED)
        except UnicodeEncodeError:  # Pillow's bitmap font knows Latin-1 only
            return False

    def _mask(self, character: str) -> tuple[object, bytes]:
        mask = self.font.getmask(character)
        return mask.size, bytes(mask)


def caption_font(texts: Iterable[str], size: int) -> CaptionFont:
    """The font that has glyphs for most of these texts: Pillow's own, the shipped one, or an
    installed one.

    Among equals the first of them wins, so that captions look the same on every machine.
    """
    characters = set("".join(texts))
    best: CaptionFont | None = None
    fewest = 0
    for font in _fonts(size):
        candidate = CaptionFont(font)
        lacking = _lacking(candidate, characters)
        if best is None or lacking < fewest:
            best, fewest = candidate, lacking
        if fewest == 0:
            break
    assert best is not None, "Pillow has a font of its own"
    return best


def _fonts(size: int) -> Iterator[ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    yield ImageFont.load_default(size)
    shipped = resources.files("lafi_client") / "fonts" / _SHIPPED
    yield ImageFont.truetype(io.BytesIO(shipped.read_bytes()), size)
    for name in _FONT_FILES:
        try:
            yield ImageFont.truetype(name, size)
        except OSError:
            continue


def _lacking(font: CaptionFont, characters: set[str]) -> int:
    return sum(not font.can_show(character) for character in characters)
