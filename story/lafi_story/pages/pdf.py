"""All pages as one PDF: text can be selected, the signs that are used are inside."""

import datetime
from typing import Final

from fpdf import FPDF

from lafi_story.pages.page import BORDER, LINE_WIDTH, ORIGIN, Comic, Page

_INCH: Final = 72.0
_DATE: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
"""Of every file, so that the same comic is the same file."""


def pdf(comic: Comic) -> bytes:
    """The file's bytes."""
    file = FPDF(unit="pt")
    file.set_creation_date(_DATE)
    file.set_title(comic.title)
    file.set_subject(ORIGIN)
    file.set_creator("LAFI")
    file.set_lang(comic.language)
    file.set_auto_page_break(False)
    file.set_margin(0)
    fonts = {face.path: f"face{number}" for number, face in enumerate(comic.faces)}
    for path, name in fonts.items():
        file.add_font(name, fname=path)
    for page in comic.pages:
        scale = _INCH / page.dpi
        file.add_page(format=(page.width * scale, page.height * scale))
        _pictures(file, page, scale)
        for one in page.letters:
            file.set_line_width(LINE_WIDTH * scale)
            if one.shape is not None:
                file.polygon([(x * scale, y * scale) for x, y in one.shape.points], style="DF")
            file.set_font(fonts[one.words.face.path], size=one.words.size * scale)
            for line, (x, y) in one.words.lines:
                file.text(x * scale - file.get_string_width(line) / 2, y * scale, line)
    return bytes(file.output())


def _pictures(file: FPDF, page: Page, scale: float) -> None:
    file.set_draw_color(0)
    file.set_fill_color(255)
    for picture in page.pictures:
        place, seen = picture.place, picture.seen
        at = (place.x0 * scale, place.y0 * scale, place.width * scale, place.height * scale)
        image = picture.image(round(seen.width), round(seen.height))
        file.image(image, *at)
        file.set_line_width(BORDER * scale)
        file.rect(*at)
