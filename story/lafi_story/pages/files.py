"""The files of a comic, by kind."""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

from PIL.PngImagePlugin import PngInfo

from lafi.board.error import StoryboardError, closest
from lafi_story.pages.cbz import cbz
from lafi_story.pages.page import ORIGIN, Comic
from lafi_story.pages.painted import painted
from lafi_story.pages.svg import svg

Seal = Callable[[bytes, str], bytes]
"""A file and its name -> the file, signed."""


def unsealed(data: bytes, name: str) -> bytes:
    """The file as it is."""
    return data


class ComicFiles:
    """Makes the files of a comic; pages are painted once for all kinds."""

    def __init__(self, comic: Comic, seal: Seal = unsealed) -> None:
        """seal: signs each file but the archive, in which the pages are signed."""
        self._comic = comic
        self._seal = seal

    def of_kind(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """Names and bytes. kind: one of `KINDS`."""
        return KINDS[kind](self)

    @cached_property
    def pngs(self) -> dict[str, bytes]:
        """`page_01.png` -> the file."""
        found = {}
        for number, page in enumerate(self._comic.pages, 1):
            said = PngInfo()
            said.add_itxt("Title", self._comic.title)
            said.add_text("Description", ORIGIN)
            file = io.BytesIO()
            painted(page).save(file, "PNG", pnginfo=said, dpi=(page.dpi, page.dpi))
            name = page_file(number, "png")
            found[name] = self._seal(file.getvalue(), name)
        return found

    def svgs(self) -> Iterator[tuple[str, bytes]]:
        """A file for each page."""
        for number, page in enumerate(self._comic.pages, 1):
            drawn = svg(page, self._comic.title, self._comic.language)
            name = page_file(number, "svg")
            yield name, self._seal(drawn, name)

    def pdfs(self) -> Iterator[tuple[str, bytes]]:
        """One file."""
        from lafi_story.pages.pdf import pdf  # takes seconds to load

        yield "comic.pdf", self._seal(pdf(self._comic), "comic.pdf")

    def cbzs(self) -> Iterator[tuple[str, bytes]]:
        """One file."""
        yield "comic.cbz", cbz(self._comic, self.pngs)


KINDS: Final[dict[str, Callable[[ComicFiles], Iterator[tuple[str, bytes]]]]] = {
    "png": lambda files: iter(files.pngs.items()),
    "pdf": ComicFiles.pdfs,
    "cbz": ComicFiles.cbzs,
    "svg": ComicFiles.svgs,
}


def kinds_of(given: str) -> Sequence[str]:
    """`png,pdf` as its kinds. Raises StoryboardError."""
    kinds = list(dict.fromkeys(part.strip().lower() for part in given.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            allowed = f"{', '.join(KINDS)}, with commas between{closest(kind, KINDS)}"
            raise StoryboardError([f"--format: got {kind!r}, allowed: {allowed}"])
    return kinds


def page_file(number: int, kind: str) -> str:
    """`page_01.png` for the first page."""
    return f"page_{number:02d}.{kind}"
