"""The fonts that text is set in, and which signs they have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

from lafi.board.error import StoryboardError, Verbatim, problem

_MEASURED_AT: Final = 200
LINE: Final = 1.3
"""From one line to the next, in ems."""
MIDDLE: Final = 0.36
"""From the middle of a line down to its baseline, in ems."""


@dataclass(frozen=True)
class Typeface:
    """A font file. `licence`: its SPDX name; "": not known."""

    path: Path
    family: str
    licence: str = ""

    @cached_property
    def signs(self) -> frozenset[int]:
        """The code points that it has a glyph for."""
        with TTFont(self.path, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap())

    def lacks(self, text: str) -> list[str]:
        """The signs of the text that it has no glyph for, each once, in order."""
        return [sign for sign in dict.fromkeys(text) if ord(sign) not in self.signs]

    def length(self, text: str) -> float:
        """The text's width in ems, as all kinds of files set it: without kerning."""
        return self.at(_MEASURED_AT).getlength(text) / _MEASURED_AT

    def at(self, size: int) -> ImageFont.FreeTypeFont:
        """The font at a size in pixels."""
        return _loaded(self.path, size)


@lru_cache(maxsize=64)
def _loaded(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def shipped_typefaces() -> tuple[Typeface, ...]:
    """Noto Sans, for text in Western letters, then Noto Sans SC, for Chinese.

    In the second one, curly quotes and apostrophes are as wide as a Chinese character.
    """
    import fontpkg
    from pylopdf_fonts_zh_cn import sans_path

    western = Path(fontpkg.path("Noto Sans"))
    return (
        Typeface(western, "Noto Sans", "OFL-1.1"),
        Typeface(sans_path(), "Noto Sans SC", "OFL-1.1"),
    )


def own_typeface(path: Path) -> Typeface:
    """A font file of the user's. Raises StoryboardError for a file that is none."""
    try:
        # Opened here: of a file that is no font, the library would leave it open.
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            font.getBestCmap()
            family = font["name"].getBestFamilyName()
        _loaded(path, _MEASURED_AT)
    except (OSError, TTLibError, KeyError) as error:
        allowed = f"a TrueType or OpenType font ({error})"
        raise StoryboardError([problem("--font", Verbatim(path), allowed)]) from None
    return Typeface(path, family or path.stem)


def typeface_for(text: str, typefaces: Sequence[Typeface]) -> Typeface | None:
    """The first that has every sign of the text; None: none has."""
    return next((face for face in typefaces if not face.lacks(text)), None)


def lacking(field: str, text: str, typefaces: Sequence[Typeface]) -> str:
    """The error line for a text that none of the fonts can show as a whole."""
    fewest = min((face.lacks(text) for face in typefaces), key=len)
    got = Verbatim(", ".join(f"{sign!r} (U+{ord(sign):04X})" for sign in fewest[:4]))
    return problem(field, got, f"signs of {_families(typefaces)}, or --font with another font")


def _families(typefaces: Iterable[Typeface]) -> str:
    return " or ".join(face.family for face in typefaces)
