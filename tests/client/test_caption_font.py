"""Captions on a machine without fonts: Western and simplified Chinese text is legible."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageFont

from lafi_client.album import Album, PanelEntry
from lafi_client.caption_font import CaptionFont, caption_font
from lafi_client.contact_sheet import contact_sheet

CHINESE = "米娅在城市街道上奔跑，夜晚；“她戴着眼镜”！"
UNASSIGNED = "\U0010fffe"


@pytest.fixture(autouse=True)
def no_installed_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ImageFont.truetype

    def truetype(font: Any, *given: Any, **named: Any) -> ImageFont.FreeTypeFont:
        if isinstance(font, str):
            raise OSError("cannot open resource")
        return real(font, *given, **named)

    monkeypatch.setattr(ImageFont, "truetype", truetype)


def glyph(font: CaptionFont, character: str) -> bytes:
    """The character alone, drawn as it is drawn on a sheet."""
    return bytes(font.font.getmask(character))


def gb2312() -> str:
    rows = (bytes((row, cell)) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF))
    return "".join(pair.decode("gb2312", "ignore") for pair in rows)


@pytest.mark.parametrize("size", [14, 22])
def test_chinese_glyphs_differ_from_each_other_and_are_no_boxes(size: int) -> None:
    font = caption_font([CHINESE], size)
    characters = sorted(set(CHINESE))
    glyphs = {glyph(font, character) for character in characters}
    assert len(glyphs) == len(characters)
    assert glyph(font, UNASSIGNED) not in glyphs
    assert all(any(pixels) for pixels in glyphs)
    assert font.showable(CHINESE) == CHINESE


def test_every_character_of_the_standard_is_there() -> None:
    characters = gb2312()
    font = caption_font([characters], 14)
    assert len(characters) == 6763
    assert [character for character in characters if not font.can_show(character)] == []


@pytest.mark.parametrize(
    "text", ["mia in the city — 米娅", "Zürich: café naïve… 日落", "5 € • «ß» 雪"]
)
def test_both_scripts_in_one_caption(text: str) -> None:
    assert caption_font([text], 14).showable(text) == text


def test_western_text_alone_has_the_font_that_it_always_had() -> None:
    first, plain = caption_font(["mia in the city"], 14), ImageFont.load_default(14)
    assert glyph(first, "m") == bytes(plain.getmask("m"))


def sheet_of(caption: str) -> Image.Image:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "grey").save(buffer, "PNG")
    entry = PanelEntry(0, caption, caption, "", (), 0, "", "", picture=buffer.getvalue())
    return contact_sheet(Album(caption, 16, 16, (), (entry,)))


def test_a_sheet_shows_other_words_as_other_pixels_and_says_nothing_of_fonts() -> None:
    day, night = sheet_of("米娅在海滩上，白天"), sheet_of("米娅在海滩上，夜晚")
    changed = ImageChops.difference(day, night).getbbox()
    assert day.size == night.size
    assert changed is not None
    bottom = day.crop((0, day.height - 24, day.width, day.height))
    assert len(bottom.getcolors() or []) == 1
