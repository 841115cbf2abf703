"""What `lafi page` does. Returns the process's exit code."""

import json
import re
from pathlib import Path
from typing import Final

from rich.console import Console

from lafi.board.error import StoryboardError, Verbatim, closest, problem
from lafi_story.pages.composing import compose
from lafi_story.pages.files import ComicFiles, kinds_of
from lafi_story.pages.layout import SHEETS, STRIP, Grid, Layout, Webtoon
from lafi_story.pages.lettering import letters_of
from lafi_story.pages.report import report
from lafi_story.pages.source import read_source
from lafi_story.pages.typeface import own_typeface, shipped_typefaces
from lafi_story.step_folder import StepFolder

REPORT: Final = "pages.json"
_SHOWN_NOTES: Final = 20
_OURS: Final = re.compile(r"page_\d+\.(png|svg)|comic\.(pdf|cbz)")


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
) -> int:
    """Lay out the panels of a drawing on pages and write them with `pages.json` into a folder.

    0: written; 1: refused, with a line for each problem on standard error.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        kinds = kinds_of(formats)
        chosen = layout_of(layout, order, size)
        if captions not in ("sentence", "none"):
            raise StoryboardError([f"--captions: got {captions!r}, allowed: sentence, none"])
        own = () if font is None else (own_typeface(font),)
        source = read_source(drawing, story)
        letters, said = letters_of(source, (*own, *shipped_typefaces()), captions)
        comic = compose(source, letters, chosen)
        files = ComicFiles(comic)
        names: list[str] = []
        _make(out)
        for kind in kinds:
            for name, data in files.of_kind(kind):
                StepFolder.write(out / name, data)
                names.append(name)
        told = report(comic, source, names, layout)
        told["notes"] += said
        StepFolder.write(out / REPORT, (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode())
    except StoryboardError as error:
        for line in error.problems:
            console.print(f"error: {line}")
        return 1
    notes = [*told["notes"], *_left_from_before(out, names)]
    for note in notes[:_SHOWN_NOTES]:
        console.print(f"note: {note}")
    if len(notes) > _SHOWN_NOTES:
        console.print(f"note: and {len(notes) - _SHOWN_NOTES} more, in {out / REPORT}")
    count = len(comic.pages)
    console.print(f"{out}: {len(source.panels)} panels on {count} page{'s' * (count > 1)}")
    return 0


def layout_of(layout: str, order: str, size: str) -> Layout:
    """The layout by its options. Raises StoryboardError."""
    if order != "ltr" and order != "rtl":
        raise StoryboardError([f"--order: got {order!r}, allowed: ltr, rtl"])
    if layout == "webtoon":
        if size:
            allowed = f"none with --layout webtoon: it is {STRIP.width} px wide"
            raise StoryboardError([f"--size: got {size!r}, allowed: {allowed}"])
        return Webtoon(STRIP, order)
    if layout != "grid":
        raise StoryboardError([f"--layout: got {layout!r}, allowed: grid, webtoon"])
    if (size or "a4") not in SHEETS:
        allowed = f"{', '.join(SHEETS)}{closest(size, SHEETS)}"
        raise StoryboardError([f"--size: got {size!r}, allowed: {allowed}"])
    return Grid(SHEETS[size or "a4"], order)


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
