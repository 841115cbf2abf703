"""What `lafi page` does. Returns the process's exit code."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rich.console import Console

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi.origin.made import made_by
from lafi.origin.signing import Signing
from lafi_story.notes import show_notes
from lafi_story.pages.balloons import Order
from lafi_story.pages.composing import compose
from lafi_story.pages.files import ComicFiles, Seal, kinds_of, unsealed
from lafi_story.pages.grid import FREE, Grid
from lafi_story.pages.layout import SHEETS, STRIP, Layout
from lafi_story.pages.lettering import Captions, letters_of
from lafi_story.pages.report import report
from lafi_story.pages.source import DrawnPanel, read_source
from lafi_story.pages.typeface import Typeface, own_typeface, shipped_typefaces
from lafi_story.pages.webtoon import Webtoon
from lafi_story.step_folder import StepFolder

Choice = TypeVar("Choice")
REPORT: Final = "pages.json"
_OURS: Final = re.compile(r"page_\d+\.(png|svg)|comic\.(pdf|cbz)")


@dataclass(frozen=True, slots=True)
class PageStyle:
    """What pages look like: options, checked. layout_name: as the option has it."""

    kinds: Sequence[str]
    layout: Layout
    layout_name: str
    captions: Captions
    typefaces: tuple[Typeface, ...]


def style_of(
    layout: str, order: str, size: str, formats: str, captions: str, font: Path | None
) -> PageStyle:
    """The options as `page` takes them. Raises StoryboardError."""
    kinds = kinds_of(formats)
    chosen = layout_of(layout, order, size)
    told_by = _chosen("--captions", captions, _CAPTIONS)
    own = () if font is None else (own_typeface(font),)
    return PageStyle(kinds, chosen, layout, told_by, (*own, *shipped_typefaces()))


def page(
    drawing: Path,
    out: Path,
    *,
    story: Path | None = None,
    layout: str = "grid",
    order: str = "ltr",
    size: str = "",
    formats: str = "png",
    captions: str = "sentence",
    font: Path | None = None,
    signing: Signing | None = None,
) -> int:
    """Lay out the panels of a drawing on pages, with options that are not checked yet.

    signing: who signs the files; None: nobody.
    0: written; 1: refused, with a line for each problem on standard error.
    """
    try:
        style = style_of(layout, order, size, formats, captions, font)
    except StoryboardError as error:
        return _refused(error, _console())
    return lay_out(drawing, out, style, story=story, signing=signing)


def lay_out(
    drawing: Path,
    out: Path,
    style: PageStyle,
    *,
    story: Path | None = None,
    signing: Signing | None = None,
) -> int:
    """Lay out the panels of a drawing and write the pages with `pages.json` into a folder.

    As `page` otherwise.
    """
    console = _console()
    try:
        source = read_source(drawing, story)
        letters, said = letters_of(source, style.typefaces, style.captions)
        comic = compose(source, letters, style.layout)
        files = ComicFiles(comic, _seal(signing, source.panels))
        names: list[str] = []
        _make(out)
        for kind in style.kinds:
            for name, data in files.of_kind(kind):
                StepFolder.write(out / name, data)
                names.append(name)
        told = report(comic, source, names, style.layout_name)
        told["notes"] += said
        StepFolder.write(
            out / REPORT, (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()
        )
    except StoryboardError as error:
        return _refused(error, console)
    notes: list[str] = [*told["notes"], *_left_from_before(out, names)]
    show_notes(notes, console)
    count = len(comic.pages)
    console.print(f"{out}: {len(source.panels)} panels on {count} page{'s' * (count > 1)}")
    return 0


def _seal(signing: Signing | None, panels: Sequence[DrawnPanel]) -> Seal:
    """Signs files that show these panels."""
    if signing is None:
        return unsealed
    made = [made_by(panel.path.read_bytes(), panel.path.name) for panel in panels]
    return lambda data, name: signing.signed(data, name, made)


def _console() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def _refused(error: StoryboardError, console: Console) -> int:
    for line in error.problems:
        console.print(f"error: {line}")
    return 1


def layout_of(layout: str, order: str, size: str) -> Layout:
    """The layout by its options; size "": the usual one. Raises StoryboardError."""
    return _chosen("--layout", layout, LAYOUTS)(_chosen("--order", order, _ORDERS), size)


def _grid(order: Order, size: str) -> Layout:
    return Grid(_chosen("--size", size or "a4", SHEETS), order)


def _free(order: Order, size: str) -> Layout:
    return Grid(_chosen("--size", size or "a4", SHEETS), order, FREE)


def _webtoon(order: Order, size: str) -> Layout:
    if size:
        allowed = f"none with --layout webtoon: it is {STRIP.width} px wide"
        raise StoryboardError([problem("--size", size, allowed)])
    return Webtoon(STRIP, order)


LAYOUTS: Final[dict[str, Callable[[Order, str], Layout]]] = {
    "grid": _grid,
    "free": _free,
    "webtoon": _webtoon,
}
_ORDERS: Final[dict[str, Order]] = {"ltr": "ltr", "rtl": "rtl"}
_CAPTIONS: Final[dict[str, Captions]] = {"sentence": "sentence", "none": "none"}


def _chosen(option: str, given: str, of: Mapping[str, Choice]) -> Choice:
    if given not in of:
        raise StoryboardError([problem(option, given, f"{', '.join(of)}{closest(given, of)}")])
    return of[given]


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        allowed = f"a folder to write to ({error.strerror or error})"
        raise StoryboardError([problem("--out", Verbatim(out), allowed)]) from None


def _left_from_before(out: Path, names: list[str]) -> list[str]:
    """A word about files that another run left here, and that do not belong to this comic."""
    left = sorted(p.name for p in out.iterdir() if _OURS.fullmatch(p.name) and p.name not in names)
    return [f"{', '.join(left)}: from an earlier run, not of this comic"] if left else []
