"""Composes pages: lays the panels out, letters each, and once more for text that found no room."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from lafi.board.error import StoryboardError
from lafi_story.pages.balloons import TAIL_BASE, Placed, Room, Text, place
from lafi_story.pages.box import Box
from lafi_story.pages.layout import Cell, Layout, Wanted
from lafi_story.pages.lettering import Letters, places_of, under_the_panel
from lafi_story.pages.line_breaks import Block
from lafi_story.pages.outline import balloon
from lafi_story.pages.page import BORDER, Comic, Lettered, Page, Picture, Shape, Words
from lafi_story.pages.source import Source

_SHARES: Final = (0.9, 0.7, 0.55, 0.45, 0.36, 0.28, 0.2)
"""Widths that are tried for a text, as parts of a panel's width."""
_FACE_FROM, _FACE_TO, _MOUTH = 0.14, 0.5, 0.42
"""Where faces and mouths are taken to be, as parts of a panel's height."""
_MOST_UNDER: Final = 0.5
"""Of a page's height (of a strip: of twice its width): the highest caption under a panel."""
_UNDER_PAD: Final = 0.4
"""Ems around a text under a panel."""
_SCENE, _FAR, _SIGNS = 1.4, 1.2, 300
"""A panel that begins a scene, or shows much, is larger; one with so many signs twice as large."""


@dataclass(slots=True)
class _Lettering:
    """The texts of one panel, and which of them go under it as there is no room in the picture."""

    letters: tuple[Letters, ...]
    under: set[int] = field(default_factory=set)

    def inside(self) -> list[Letters]:
        return [one for at, one in enumerate(self.letters) if at not in self.under]

    def beneath(self, language: str) -> list[Letters]:
        return [under_the_panel(self.letters[at], language) for at in sorted(self.under)]

    def give_up_one(self) -> None:
        """One more text goes under the panel: narration first, then the last line."""
        left = [at for at in range(len(self.letters)) if at not in self.under]
        told = [at for at in left if self.letters[at].kind == "caption"]
        self.under.add(told[0] if told else left[-1])


def compose(source: Source, letters: Sequence[tuple[Letters, ...]], layout: Layout) -> Comic:
    """The pages. letters: the texts of each panel. Raises StoryboardError for too much text."""
    lettering = [_Lettering(texts) for texts in letters]
    while True:
        before = sum(len(one.under) for one in lettering)
        wanted = [_wanted(source, number, lettering[number], layout) for number in range(len(letters))]
        laid_out = layout.pages(wanted)
        placed = {
            cell.panel: _placed(source, cell, lettering[cell.panel], layout)
            for page in laid_out
            for cell in page.cells
        }
        if sum(len(one.under) for one in lettering) == before:
            break
    pages = []
    for page in laid_out:
        pictures = tuple(Picture(c.panel, source.panels[c.panel], c.picture) for c in page.cells)
        lettered = [
            one
            for cell in page.cells
            for one in (
                *_balloons(cell, lettering[cell.panel].inside(), placed[cell.panel]),
                *_beneath(cell, lettering[cell.panel].beneath(source.language), layout),
            )
        ]
        sheet = layout.sheet
        pages.append(Page(sheet.width, round(page.height), sheet.dpi, pictures, tuple(lettered)))
    notes = [
        f"{text.letters[at].field}: no room in the panel, it stands under it"
        for text in lettering
        for at in sorted(text.under)
    ]
    return Comic(
        source.title, source.language, layout.order == "rtl", tuple(pages), (*source.notes, *notes)
    )


def _wanted(source: Source, number: int, lettering: _Lettering, layout: Layout) -> Wanted:
    drawn = source.panels[number]
    weight = 1.0
    if source.script is not None:
        panels = source.script.panels
        begins = number == 0 or panels[number].scene != panels[number - 1].scene
        weight *= _SCENE if begins else 1.0
        weight *= _FAR if panels[number].framing == "far" else 1.0
        signs = sum(len(one.shown.text) for one in lettering.inside())
        weight *= min(1 + signs / _SIGNS, 2.5)
    beneath = lettering.beneath(source.language)

    @cache
    def below(width: float) -> float:
        size = _size_under(layout)
        return sum(_block_under(one, width, size).height * size for one in beneath) + (
            2 * _UNDER_PAD * size if beneath else 0.0
        )

    sheet = layout.sheet
    width = sheet.width - 2 * sheet.margin
    most = _MOST_UNDER * min(sheet.height, 4 * sheet.width)
    if below(width) > most:
        signs = sum(len(one.shown.text) for one in beneath)
        allowed = f"fewer: no more than {round(most)} px of text fit under a panel"
        got = f"{signs} signs under it, {round(below(width))} px"
        raise StoryboardError(
            [f"{one.field}: got {got}, allowed: {allowed}" for one in beneath]
        )
    return Wanted(drawn.width / drawn.height, weight, below)


def _placed(
    source: Source, cell: Cell, lettering: _Lettering, layout: Layout
) -> tuple[Placed, ...]:
    """Places for as many texts as there is room for; the others go under the panel."""
    picture = Picture(cell.panel, source.panels[cell.panel], cell.picture)
    places = [_seen(picture, part) for part in places_of(source, cell.panel).values()]
    room = room_of(cell.picture, places, layout)
    while inside := lettering.inside():
        texts = [_text(one, picture, layout.sheet.sizes) for one in inside]
        found = place(texts, room, layout.sheet.sizes)
        if found is not None:
            return found
        lettering.give_up_one()
    return ()


def room_of(
    cell: Box, places: Sequence[tuple[float, float]], layout: Layout
) -> Room:
    """A panel as the balloons see it. places: where figures stand, in pixels of the panel."""
    width, height = cell.width, cell.height
    places = places or [(0.25 * width, 0.75 * width)]
    faces = []
    for left, right in places:
        half = min((right - left) / 3, width / 6)
        middle = (left + right) / 2
        faces.append(Box(middle - half, _FACE_FROM * height, middle + half, _FACE_TO * height))
    inset = layout.sheet.sizes[-1] / 2 + BORDER
    return Room(width, height, tuple(faces), _MOUTH * height, layout.order, inset, inset / 2)


def _seen(picture: Picture, part: tuple[float, float]) -> tuple[float, float]:
    """A part of the picture's width in pixels of its place, where some may be cut away."""
    seen, width = picture.seen, picture.drawn.width
    left, right = ((part[side] * width - seen.x0) / seen.width for side in (0, 1))
    return max(left, 0.0) * picture.place.width, min(right, 1.0) * picture.place.width


def _text(one: Letters, picture: Picture, sizes: Sequence[int]) -> Text:
    width = picture.place.width / sizes[0]
    reach = _seen(picture, one.stands) if one.stands else None
    blocks = one.shown.blocks([share * width for share in _SHARES])
    return Text(one.kind, tuple(blocks), reach)


def _balloons(
    cell: Cell, letters: Sequence[Letters], placed: Sequence[Placed]
) -> list[Lettered]:
    found = []
    x, y = cell.picture.x0, cell.picture.y0
    for one, at in zip(letters, placed, strict=True):
        body = at.body.moved(x, y)
        tip = None if at.tip is None else (at.tip[0] + x, at.tip[1] + y)
        if one.kind == "speech":
            points = balloon(body, tip, TAIL_BASE * at.size)
        else:
            points = ((body.x0, body.y0), (body.x1, body.y0), (body.x1, body.y1), (body.x0, body.y1))
        words = Words.within(body, at.block.lines, one.shown.face, at.size)
        text = one.shown.text
        found.append(
            Lettered(cell.panel, one.kind, one.speaker, text, body, Shape(points), words, tip)
        )
    return found


def _beneath(cell: Cell, letters: Sequence[Letters], layout: Layout) -> list[Lettered]:
    if cell.below is None:
        return []
    size = _size_under(layout)
    found, y = [], cell.below.y0 + _UNDER_PAD * size
    for one in letters:
        block = _block_under(one, cell.below.width, size)
        body = Box(cell.below.x0, y, cell.below.x1, y + block.height * size)
        words = Words.within(body, block.lines, one.shown.face, size)
        text = one.shown.text
        found.append(
            Lettered(cell.panel, one.kind, one.speaker, text, body, None, words, under=True)
        )
        y = body.y1
    return found


def _size_under(layout: Layout) -> int:
    return layout.sheet.sizes[len(layout.sheet.sizes) // 2]


def _block_under(one: Letters, width: float, size: int) -> Block:
    return one.shown.wrapped(width / size - 2 * _UNDER_PAD)
