"""One panel with its texts: how large it should be, which of them fit, what stands under it.

Text that does not fit makes the panel larger first; where that does not help, narration and then
the last lines go under the panel.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lafi.board.error import StoryboardError
from lafi_story.pages.balloons import TAIL_BASE, Placed, Room, Text, place
from lafi_story.pages.box import Box
from lafi_story.pages.layout import Cell, Layout, Wanted
from lafi_story.pages.lettering import Letters, places_of, under_the_panel
from lafi_story.pages.line_breaks import Block
from lafi_story.pages.outline import balloon
from lafi_story.pages.page import BORDER, Lettered, Picture, Shape, Words
from lafi_story.pages.picture_detail import detail_of
from lafi_story.pages.source import Source

_SHARES: Final = (0.9, 0.7, 0.55, 0.45, 0.36, 0.28, 0.2)
"""Widths that are tried for a text, as parts of a panel's width."""
_FACE: Final = (0.2, 0.5)
"""Where faces are taken to be where none stands out, as parts of a panel's height."""
_MOUTH: Final = 0.73
"""From the top of a head to its end."""
_MOST_UNDER: Final = 0.5
"""Of a page's height (of a strip: of four times its width): the highest text under a panel."""
_UNDER_PAD: Final = 0.4
"""Ems around a text under a panel."""
_SCENE, _FAR, _SIGNS = 1.4, 1.2, 300
"""A panel that begins a scene, or shows much, is larger; one with so many signs twice as large."""
_LARGER, _TRIES = 2.0, 2
_LOOKED_AT: Final = 256
"""Pixels of a picture's side at which its detail is looked at."""
_NARROWEST: Final = 0.04
"""What is left at least of a speaker's place where the picture is cut, as a part of its width."""


class LetteredPanel:
    """Asked in turns: `wanted` for the layout, `fits` for its answer, then `lettered`."""

    def __init__(
        self, source: Source, number: int, letters: tuple[Letters, ...], layout: Layout
    ) -> None:
        self._source = source
        self._number = number
        self._letters = letters
        self._sheet = layout.sheet
        self._order = layout.order
        self._weight = self._first_weight()
        self._under: set[int] = set()
        self._tried: list[float] = []
        """Areas in which the text did not fit."""
        self._placed: tuple[Placed, ...] = ()
        self._placed_in: tuple[int, int] | None = None
        """The size of the panel that they were placed in."""

    def picture(self, box: Box) -> Picture:
        """The panel's picture at a place on the page."""
        return Picture(self._number, self._source.panels[self._number], box)

    def wanted(self) -> Wanted:
        """What the layout needs to know. Raises StoryboardError for too much text under it."""
        heights: dict[float, float] = {}

        def below(width: float) -> float:
            if width not in heights:
                heights[width] = self._below(width)
            return heights[width]

        most = _MOST_UNDER * min(self._sheet.height, 4 * self._sheet.width)
        if (height := below(self._sheet.width - 2 * self._sheet.margin)) > most:
            got = f"{round(height)} px of text that has no room in the panel"
            allowed = f"at most {round(most)} px under it: shorten it, or make two panels of it"
            raise StoryboardError(
                [f"{one.field}: got {got}, allowed: {allowed}" for one in self._beneath]
            )
        drawn = self._source.panels[self._number]
        return Wanted(drawn.width / drawn.height, self._weight, below)

    def fits(self, cell: Box) -> bool:
        """Place the texts in the panel at this size; False: it has to be laid out once more."""
        size = round(cell.width), round(cell.height)
        if size == self._placed_in:
            return True
        picture = self.picture(cell)
        found = self._place(picture)
        if found is None and self._may_grow(cell.width * cell.height):
            return False
        fits = found is not None
        while found is None:
            self._give_up_one()
            found = self._place(picture)
        self._placed, self._placed_in = found, size
        return fits

    def lettered(self, cell: Cell) -> list[Lettered]:
        """The texts on the page, after `fits` was true for all panels."""
        return [*self._balloons(cell.picture), *self._captions_under(cell.below)]

    def notes(self) -> list[str]:
        """What is not in the picture."""
        fields = [self._letters[at].field for at in sorted(self._under)]
        return [f"{field}: no room in the panel, it stands under it" for field in fields]

    @property
    def _inside(self) -> list[Letters]:
        return [one for at, one in enumerate(self._letters) if at not in self._under]

    @property
    def _beneath(self) -> list[Letters]:
        return [under_the_panel(self._letters[at], self._source) for at in sorted(self._under)]

    def _first_weight(self) -> float:
        if self._source.script is None:
            return 1.0
        panels, number = self._source.script.panels, self._number
        begins = number == 0 or panels[number].scene != panels[number - 1].scene
        signs = sum(len(one.shown.text) for one in self._letters)
        weight = min(1 + signs / _SIGNS, 2.5)
        weight *= _SCENE if begins else 1.0
        return weight * (_FAR if panels[number].framing == "far" else 1.0)

    def _may_grow(self, area: float) -> bool:
        """Whether to ask for a larger panel: a few times, as long as it helps."""
        if len(self._tried) >= _TRIES or (self._tried and area <= 1.05 * max(self._tried)):
            return False
        self._tried.append(area)
        self._weight *= _LARGER
        return True

    def _give_up_one(self) -> None:
        left = [at for at in range(len(self._letters)) if at not in self._under]
        told = [at for at in left if self._letters[at].kind == "caption"]
        self._under.add(told[0] if told else left[-1])

    def _place(self, picture: Picture) -> tuple[Placed, ...] | None:
        parts = places_of(self._source, self._number).values()
        room = self._room(picture, [_seen(picture, part) for part in parts])
        width = picture.place.width / self._sheet.sizes[0]
        texts = []
        for one in self._inside:
            blocks = one.shown.blocks([share * width for share in _SHARES])
            reach = _seen(picture, one.stands) if one.stands else None
            mouth = _mouth(_face(room, reach)) if reach else None
            texts.append(Text(one.kind, tuple(blocks), reach, mouth))
        return place(texts, room, self._sheet.sizes)

    def _room(self, picture: Picture, places: Sequence[tuple[float, float]]) -> Room:
        """The panel as the balloons see it. places: where figures stand, in pixels of the panel."""
        width, height = picture.place.width, picture.place.height
        bare = Room(
            width,
            height,
            order=self._order,
            inset=(inset := self._sheet.sizes[-1] / 2 + BORDER),
            gap=inset / 2,
            detail=detail_of(picture.image(_LOOKED_AT, _LOOKED_AT)),
        )
        faces = [_face(bare, part) for part in places or [(0.25 * width, 0.75 * width)]]
        return replace(bare, faces=tuple(faces), mouth=_mouth(faces[0]))

    def _balloons(self, cell: Box) -> list[Lettered]:
        found = []
        for one, at in zip(self._inside, self._placed, strict=True):
            body = at.body.moved(cell.x0, cell.y0)
            tip = None if at.tip is None else (at.tip[0] + cell.x0, at.tip[1] + cell.y0)
            points = (
                body.corners if one.kind == "caption" else balloon(body, tip, TAIL_BASE * at.size)
            )
            words = Words.within(body, at.block.lines, one.shown.face, at.size)
            text = one.shown.text
            shape = Shape(points)
            found.append(
                Lettered(self._number, one.kind, one.speaker, text, body, shape, words, tip)
            )
        return found

    @property
    def _size_under(self) -> int:
        return self._sheet.sizes[len(self._sheet.sizes) // 2]

    def _block_under(self, one: Letters, width: float) -> Block:
        return one.shown.wrapped(width / self._size_under - 2 * _UNDER_PAD)

    def _below(self, width: float) -> float:
        if not self._under:
            return 0.0
        ems = sum(self._block_under(one, width).height for one in self._beneath)
        return (ems + 2 * _UNDER_PAD) * self._size_under

    def _captions_under(self, below: Box | None) -> list[Lettered]:
        if below is None:
            return []
        size = self._size_under
        found, y = [], below.y0 + _UNDER_PAD * size
        for one in self._beneath:
            block = self._block_under(one, below.width)
            body = Box(below.x0, y, below.x1, y + block.height * size)
            words = Words.within(body, block.lines, one.shown.face, size)
            text = one.shown.text
            found.append(
                Lettered(self._number, one.kind, one.speaker, text, body, None, words, under=True)
            )
            y = body.y1
        return found


def _face(room: Room, part: tuple[float, float]) -> Box:
    """Where the face of the figure is that stands there, in pixels: where it begins to stand out.

    Where nothing does, it is taken to be in the upper half.
    """
    left, right = part
    found = room.detail.head(left / room.width, right / room.width) if room.detail else None
    top, end = found or _FACE
    half, middle = min((right - left) / 3, room.width / 6), (left + right) / 2
    return Box(middle - half, top * room.height, middle + half, end * room.height)


def _mouth(face: Box) -> float:
    return face.y0 + _MOUTH * face.height


def _seen(picture: Picture, part: tuple[float, float]) -> tuple[float, float]:
    """A part of the picture's width in pixels of its place, where some may be cut away."""
    seen, width = picture.seen, picture.drawn.width
    left, right = ((part[side] * width - seen.x0) / seen.width for side in (0, 1))
    left = min(max(left, 0.0), 1 - _NARROWEST)
    right = max(min(right, 1.0), left + _NARROWEST)
    return left * picture.place.width, right * picture.place.width
