"""Laws of the solver: whatever it places, it places so."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_story.pages.balloons import Order, Placed, Room, Text, comes_before, place
from lafi_story.pages.box import Box
from lafi_story.pages.line_breaks import Block
from lafi_story.pages.outline import edge

SIZES = (22, 18, 15)
SHARES = (0.9, 0.6, 0.4, 0.25)


def blocks_of(signs: int, width: float) -> tuple[Block, ...]:
    """A text of so many signs of half an em, in the widths that a panel gives."""
    found = {}
    for share in SHARES:
        in_line = max(1, int(share * width / SIZES[0] / 0.5))
        lines = math.ceil(signs / in_line)
        found[lines] = Block(("x",) * lines, min(signs, in_line) * 0.5, 1.3 * lines)
    return tuple(found.values())


@st.composite
def panels(draw: st.DrawFn) -> tuple[list[Text], Room]:
    width, height = draw(st.floats(150, 1200)), draw(st.floats(150, 1200))
    count = draw(st.integers(1, 4))
    figures = [(width * at / count, width * (at + 1) / count) for at in range(count)]
    faces = tuple(
        Box(a + (b - a) / 4, 0.2 * height, b - (b - a) / 4, 0.5 * height) for a, b in figures
    )
    order: Order = draw(st.sampled_from(["ltr", "rtl"]))
    texts = []
    if draw(st.booleans()):
        texts.append(Text("caption", blocks_of(draw(st.integers(1, 120)), width)))
    for _ in range(draw(st.integers(0, 5))):
        reach = draw(st.sampled_from([None, *figures]))
        texts.append(Text("speech", blocks_of(draw(st.integers(1, 150)), width), reach))
    return texts, Room(width, height, faces, 0.42 * height, order)


Panel = tuple[list[Text], Room]


def placed(panel: Panel) -> tuple[Placed, ...]:
    return place(*panel, SIZES) or ()


@settings(max_examples=30, deadline=None)
@given(panels())
def test_every_balloon_and_its_tail_are_inside_the_panel(panel: Panel):
    whole = Box(0, 0, panel[1].width, panel[1].height)
    for one in placed(panel):
        assert whole.holds(one.body)
        if one.tip is not None:
            assert whole.holds(Box(*one.tip, *one.tip))


@settings(max_examples=30, deadline=None)
@given(panels())
def test_no_balloon_touches_another_or_its_tail(panel: Panel):
    found = placed(panel)
    for at, one in enumerate(found):
        for other in found[at + 1 :]:
            assert one.body.shared(other.body) == 0
            for body, tail in ((one.body, other.tail), (other.body, one.tail)):
                assert tail is None or body.shared(tail) == 0


@settings(max_examples=30, deadline=None)
@given(panels())
def test_what_is_said_first_is_read_first(panel: Panel):
    found = placed(panel)
    for at, one in enumerate(found):
        for other in found[at + 1 :]:
            assert comes_before(one.body, other.body, panel[1].order)
            higher = one.body.y0 < other.body.y0
            if panel[1].order == "ltr":
                assert higher or one.body.x0 < other.body.x0
            else:
                assert higher or one.body.x1 > other.body.x1


@settings(max_examples=30, deadline=None)
@given(panels())
def test_a_tail_leaves_its_balloon_and_ends_where_its_speaker_stands(panel: Panel):
    for text, one in zip(panel[0], placed(panel), strict=False):
        assert (one.tip is None) == (text.reach is None)
        if one.tip is not None and text.reach is not None:
            assert text.reach[0] <= one.tip[0] <= text.reach[1]
            foot = edge(one.body, one.tip)
            assert math.dist(one.body.centre, one.tip) > math.dist(one.body.centre, foot)


@settings(max_examples=30, deadline=None)
@given(panels())
def test_a_tail_points_at_the_middle_of_its_speaker(panel: Panel):
    texts, room = panel
    for text, one in zip(texts, placed(panel), strict=False):
        if one.tip is None or text.reach is None:
            continue
        foot = edge(one.body, one.tip)
        if abs(one.tip[1] - foot[1]) < 0.1 * abs(room.mouth - foot[1]):
            continue  # level with the mouth: how far it goes on says nothing
        far = (room.mouth - foot[1]) / (one.tip[1] - foot[1])
        at = foot[0] + far * (one.tip[0] - foot[0])
        middle, wide = sum(text.reach) / 2, text.reach[1] - text.reach[0]
        assert abs(at - middle) <= 0.2 * wide + 2


@settings(max_examples=30, deadline=None)
@given(panels())
def test_all_texts_are_placed_at_one_of_the_sizes_or_none_is(panel: Panel):
    found = place(*panel, SIZES)
    if found is not None:
        assert len(found) == len(panel[0])
        assert len({one.size for one in found}) <= 1
        assert all(one.size in SIZES for one in found)
        assert all(one.block in text.blocks for one, text in zip(found, panel[0], strict=True))


@settings(max_examples=30, deadline=None)
@given(
    st.floats(450, 1200),
    st.floats(450, 1200),
    st.integers(1, 25),
    st.sampled_from(["ltr", "rtl"]),
)
def test_a_face_stays_free_where_there_is_room(
    width: float, height: float, signs: int, order: Order
):
    face = Box(width / 3, 0.2 * height, width * 2 / 3, 0.5 * height)
    room = Room(width, height, (face,), 0.42 * height, order)
    found = place(
        [Text("speech", blocks_of(signs, width), (width / 4, width * 3 / 4))], room, SIZES
    )
    assert found is not None
    assert found[0].body.shared(face) == 0
    assert found[0].size == SIZES[0]


def test_a_text_that_is_larger_than_the_panel_has_no_place():
    assert place([Text("speech", blocks_of(900, 150))], Room(150, 150), SIZES) is None


def test_text_gets_smaller_before_it_has_no_place():
    (one,) = place([Text("speech", blocks_of(100, 190))], Room(190, 230), SIZES) or ()
    assert one.size == min(SIZES)
