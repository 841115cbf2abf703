"""Places the balloons of one panel: a beam search over sizes, forms and places.

What always holds: every balloon lies inside the panel; none touches another or another's tail; one
that is read earlier begins higher, or at the same height and earlier in reading direction; a tail's
tip lies where its speaker stands. What is preferred: faces stay free, tails are short, the first
balloons are at the top. Reading order is that of the texts.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from heapq import merge
from itertools import islice
from typing import Final, Literal

from lafi_story.pages.box import Box
from lafi_story.pages.line_breaks import Block
from lafi_story.pages.outline import GROWTH, Point, edge
from lafi_story.pages.picture_detail import PictureDetail

Order = Literal["ltr", "rtl"]
_BEAM: Final = 10
_COLUMNS: Final = 7
_ROWS: Final = 12
_FULLEST: Final = 0.7
"""Balloons that cover more of a panel than this are not tried."""
_PAD: Final = {"speech": 0.3, "caption": 0.5}
"""Ems around the text."""
_TOUCH, _FACE, _FIGURE, _AWAY, _LOW, _FORM, _SMALLER = 3.0, 6.0, 0.8, 1.2, 2.0, 0.6, 0.4
_DETAIL = 0.8
"""What it costs: to touch a face and to cover it, to cover a figure, to be far from the speaker,
to be low, to be of another form than is liked, to be one size smaller; to cover as much detail as
the picture has on average."""
_FORMS: Final = {"speech": 1.9, "caption": 3.5}
"""Width by height that is liked best."""
_SHORTEST, _USUAL, _LONGEST = 0.9, 2.2, 5.0
"""Of a tail, in ems."""
TAIL_BASE: Final = 1.0
"""Ems."""
_MARGIN: Final = 0.15
"""The part of a speaker's place at its borders where no tail ends."""
_AIM: Final = 0.15
"""How far beside the middle of a speaker's place a tail may point, as a part of that place."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is to be placed: the forms that it may have, in ems.

    reach: where the speaker stands, from x0 to x1 in pixels; None: no tail. mouth: how high, in
    pixels; None: the room's.
    """

    kind: Literal["speech", "caption"]
    blocks: tuple[Block, ...]
    reach: tuple[float, float] | None = None
    mouth: float | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """A panel in pixels. faces: where there may be faces. mouth: height of their mouths.

    inset: least distance from the border; gap: between two balloons. detail: of the picture.
    """

    width: float
    height: float
    faces: tuple[Box, ...] = ()
    mouth: float = 0.0
    order: Order = "ltr"
    inset: float = 8.0
    gap: float = 6.0
    detail: PictureDetail | None = None


@dataclass(frozen=True)
class Placed:
    """A balloon: its body without the tail, and the tail's tip; pixels of the panel."""

    body: Box
    block: Block
    size: int
    tip: Point | None = None

    @cached_property
    def tail(self) -> Box | None:
        """The box around the tail."""
        if self.tip is None:
            return None
        foot, half = edge(self.body, self.tip), TAIL_BASE * self.size / 2
        xs, ys = (foot[0], self.tip[0]), (foot[1], self.tip[1])
        return Box(min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half)


_State = tuple[float, tuple[Placed, ...]]
"""What it costs, and those that are placed."""


def comes_before(first: Box, second: Box, order: Order) -> bool:
    """Whether a reader meets the first one first: it is higher, or level with it and before it."""
    if first.y0 != second.y0:
        return first.y0 < second.y0
    return first.x0 < second.x0 if order == "ltr" else first.x1 > second.x1


def place(texts: Sequence[Text], room: Room, sizes: Sequence[int]) -> tuple[Placed, ...] | None:
    """A place for every text, at the largest of these sizes beside which the next costs more.

    sizes: of the font in pixels, the largest first. None: at no size is there room for all.
    """
    best: _State | None = None
    for step, size in enumerate(sizes):
        found = _placed(texts, room, size)
        if found is None:
            continue
        cost = found[0] + step * _SMALLER
        if best is not None and cost >= best[0]:
            break
        best = cost, found[1]
    return best[1] if best else None


def _placed(texts: Sequence[Text], room: Room, size: int) -> _State | None:
    bodies = [[_body(text, block, size) for block in text.blocks] for text in texts]
    least = sum(min(w * h for w, h in forms) for forms in bodies)
    if least > _FULLEST * room.width * room.height:
        return None
    beam: list[_State] = [(0.0, ())]
    for text in texts:
        anywhere = _by_cost(_candidates(text, room, size, _rows), text, room)
        wider: list[_State] = []
        for cost, before in beam:
            beside = _candidates(text, room, size, partial(_beside, before))
            choices = merge(anywhere, _by_cost(beside, text, room), key=_first)
            fit = (choice for choice in choices if _fits(choice[1], before, room))
            wider += [(cost + more, (*before, one)) for more, one in islice(fit, _BEAM)]
        beam = sorted(wider, key=_first)[:_BEAM]
    return beam[0] if beam else None


def _by_cost(found: Iterable[Placed], text: Text, room: Room) -> list[tuple[float, Placed]]:
    return sorted(((_cost(one, text, room), one) for one in found), key=_first)


def _first(pair: tuple[float, object]) -> float:
    return pair[0]


def _body(text: Text, block: Block, size: int) -> tuple[float, float]:
    grow = GROWTH if text.kind == "speech" else 1.0
    pad = 2 * _PAD[text.kind]
    return (block.width * grow + pad) * size, (block.height * grow + pad) * size


def _candidates(
    text: Text, room: Room, size: int, heights: Callable[[Room, float], Iterable[float]]
) -> Iterator[Placed]:
    """Places inside the panel. heights: where it may begin, for the lowest place that it has."""
    for block in text.blocks:
        width, height = _body(text, block, size)
        right, low = room.width - room.inset - width, room.height - room.inset - height
        if right < room.inset or low < room.inset:
            continue
        rows = {room.inset} if text.kind == "caption" else heights(room, low)
        for x in _across(text, room, width, right):
            for y in rows:
                body = Box(x, y, x + width, y + height)
                if text.reach is None:
                    yield Placed(body, block, size)
                elif tip := _tip(body, text.reach, _mouth(text, room), size):
                    yield Placed(body, block, size, tip)


def _across(text: Text, room: Room, width: float, right: float) -> set[float]:
    start = room.inset if room.order == "ltr" else right
    if text.kind == "caption":
        return {start}
    step = (right - room.inset) / (_COLUMNS - 1)
    places = {room.inset + step * column for column in range(_COLUMNS)}
    if text.reach is not None:
        middle = sum(text.reach) / 2 - width / 2
        places.add(min(max(middle, room.inset), right))
    return places


def _rows(room: Room, low: float) -> set[float]:
    step = (low - room.inset) / (_ROWS - 1)
    return {room.inset + step * row for row in range(_ROWS)}


def _beside(before: Sequence[Placed], room: Room, low: float) -> set[float]:
    """Level with those before, or right below them."""
    places = {y for one in before for y in (one.body.y0, one.body.y1 + room.gap)}
    return {y for y in places if y <= low}


def _mouth(text: Text, room: Room) -> float:
    return room.mouth if text.mouth is None else text.mouth


def _tip(body: Box, reach: tuple[float, float], mouth: float, size: int) -> Point | None:
    """Where the tail ends; None: the body is too near to the speaker's mouth, or too far."""
    margin = _MARGIN * (reach[1] - reach[0])
    least, most = reach[0] + margin, reach[1] - margin
    middle, beside = sum(reach) / 2, _AIM * (reach[1] - reach[0])
    aim = min(max(body.centre[0], middle - beside), middle + beside), mouth
    if body.grown(_SHORTEST * size).shared(Box(aim[0] - 1, aim[1] - 1, aim[0] + 1, aim[1] + 1)):
        return None
    foot = edge(body, aim)
    distance = math.dist(foot, aim)
    length = min(0.8 * distance, _USUAL * size)
    ux, uy = (aim[0] - foot[0]) / distance, (aim[1] - foot[1]) / distance
    if not least <= foot[0] + ux * length <= most:  # a tail that only points there says too little
        border = least if foot[0] < least else most
        length = (border - foot[0]) / ux if ux else distance
    if length > min(_LONGEST * size, distance):
        return None
    tip = foot[0] + ux * length, foot[1] + uy * length
    return min(max(tip[0], least), most), tip[1]


def _fits(one: Placed, before: Sequence[Placed], room: Room) -> bool:
    """Whether it keeps clear of those that are read before it, and comes after them."""
    tail = one.tail
    for other in before:
        if not comes_before(other.body, one.body, room.order):
            return False
        if _reads_first(one.body, other.body, room.order) and one.body.y0 < other.body.centre[1]:
            return False
        spaced, other_tail = one.body.grown(room.gap / 2), other.tail
        if spaced.shared(other.body.grown(room.gap / 2)):
            return False
        if other_tail and (spaced.shared(other_tail) or (tail and tail.shared(other_tail))):
            return False
        if tail and tail.shared(other.body):
            return False
    return True


def _reads_first(one: Box, other: Box, order: Order) -> bool:
    """Whether one stands where reading begins, beside the other."""
    return one.centre[0] < other.centre[0] if order == "ltr" else one.centre[0] > other.centre[0]


def _cost(one: Placed, text: Text, room: Room) -> float:
    body = one.body
    area = body.width * body.height
    cost = _LOW * body.y0 / room.height
    covered = sum(body.shared(face) for face in room.faces)
    cost += (_TOUCH if covered else 0.0) + _FACE * covered / area
    cost += area / (room.width * room.height)
    if room.detail is not None:
        cost += _DETAIL * room.detail.covered(body, room.width, room.height)
    for face in room.faces:
        figure = Box(face.x0, face.y1, face.x1, room.height)
        cost += _FIGURE * body.shared(figure) / area
    cost += _FORM * math.log(body.width / body.height / _FORMS[text.kind]) ** 2
    if text.reach is not None and one.tip is not None:
        cost += _AWAY * abs(body.centre[0] - sum(text.reach) / 2) / room.width
        cost += math.dist(edge(body, one.tip), one.tip) / room.width
    return cost
