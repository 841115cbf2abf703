"""`pages.json`: for each panel its page, its place and its sentence in the novel."""

from collections.abc import Sequence
from typing import Any

from lafi_story.pages.box import Box
from lafi_story.pages.page import Comic, Lettered, Page, Picture
from lafi_story.pages.source import Source


def report(comic: Comic, source: Source, files: Sequence[str], layout: str) -> dict[str, Any]:
    """Plain data. Boxes are [x0, y0, x1, y1] in pixels of the page; panels count from 0."""
    return {
        "title": comic.title,
        "language": comic.language,
        "layout": layout,
        "order": "rtl" if comic.right_to_left else "ltr",
        "files": list(files),
        "fonts": [
            {"family": face.family, "licence": face.licence or "not known"} for face in comic.faces
        ],
        "notes": list(comic.notes),
        "pages": [_page(number, page, source) for number, page in enumerate(comic.pages, 1)],
    }


def _page(number: int, page: Page, source: Source) -> dict[str, Any]:
    panels = [_panel(picture, page, source) for picture in page.pictures]
    return {"page": number, "width": page.width, "height": page.height, "panels": panels}


def _panel(picture: Picture, page: Page, source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {
        "panel": picture.panel,
        "picture": picture.drawn.path.name,
        "box": _box(picture.place),
        "seen": _box(picture.seen),
    }
    if source.script is not None:
        panel = source.script.panels[picture.panel]
        found |= {"sentence": panel.sentence, "paragraphs": [panel.first, panel.last]}
    found["texts"] = [_text(one) for one in page.letters if one.panel == picture.panel]
    return found


def _text(one: Lettered) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "speaker": one.speaker,
        "text": one.text,
        "box": _box(one.body),
        "size": one.words.size,
        "tail": None if one.tip is None else [round(value, 1) for value in one.tip],
        "under": one.under,
    }


def _box(box: Box) -> list[float]:
    return [round(value, 1) for value in box]
