from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from lafi_story.pages.box import Box
from lafi_story.pages.grid import Grid
from lafi_story.pages.layout import SHEETS, Cell
from lafi_story.pages.lettered_panel import LetteredPanel
from lafi_story.pages.lettering import letters_of
from lafi_story.pages.source import DrawnPanel, Source
from lafi_story.pages.typeface import shipped_typefaces
from lafi_story.steps import Script

GRID = Grid(SHEETS["a4"], "ltr")
LARGE, SMALL = Box(60, 60, 760, 760), Box(60, 60, 260, 260)
LONG = "Then we shall have to walk all the way around the lake before it is dark. " * 3


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def figure(top: float, size: tuple[int, int]) -> Image.Image:
    """A striped figure in the middle of a plain picture, from `top` (0 to 1) down; 1: nobody."""
    image = Image.new("RGB", size, "#88aacc")
    draw, (width, height) = ImageDraw.Draw(image), size
    for y in range(round(top * height), height, height // 10):
        draw.rectangle((0.4 * width, y, 0.6 * width, y + height // 20), fill="#221100")
    return image


def lettered(
    *lines: str,
    sentence: str = "It rained.",
    picture: tuple[int, int] = (96, 96),
    top: float = 1.0,
) -> LetteredPanel:
    figure(top, picture).save("panel_00.png")
    script = Script.model_validate(
        {
            "panels": [
                {
                    "first": 0,
                    "last": 0,
                    "scene": 0,
                    "sentence": sentence,
                    "figures": [{"name": "mia"}],
                    "lines": [{"speaker": "mia", "text": t, "paragraph": 0} for t in lines],
                }
            ]
        }
    )
    source = Source((DrawnPanel(Path("panel_00.png"), *picture),), script=script)
    (letters,), _ = letters_of(source, shipped_typefaces(), "sentence")
    return LetteredPanel(source, 0, letters, GRID)


def test_text_without_room_asks_for_a_larger_panel_before_it_goes_under_it():
    panel = lettered("Yes.", LONG)
    before = panel.wanted().weight
    assert not panel.fits(SMALL)
    assert panel.wanted().weight > before
    assert panel.notes() == []
    assert panel.fits(LARGE)
    assert all(not one.under for one in panel.lettered(Cell(0, LARGE)))


def test_where_a_larger_panel_is_not_to_be_had_narration_and_last_lines_go_under_it():
    panel = lettered("Yes.", LONG)
    for _ in range(5):
        if panel.fits(SMALL):
            break
    height = panel.wanted().below(SMALL.width)
    under = Box(SMALL.x0, SMALL.y1, SMALL.x1, SMALL.y1 + height)
    texts = panel.lettered(Cell(0, SMALL, under))
    assert [(one.text[:4], one.under) for one in texts] == [
        ("Yes.", False),
        ("It r", True),
        ("mia:", True),
    ]
    assert all(under.holds(one.body) for one in texts if one.under)
    assert len(panel.notes()) == 2


def test_balloons_lie_in_the_panel_wherever_it_is():
    panel = lettered("Yes.", "No.")
    assert panel.fits(LARGE)
    here = panel.lettered(Cell(0, LARGE))
    there = panel.lettered(Cell(0, LARGE.moved(100, 300)))
    for one, other in zip(here, there, strict=True):
        assert LARGE.holds(one.body)
        assert other.body == pytest.approx(one.body.moved(100, 300))


def test_what_begins_a_scene_and_says_more_wants_more_room():
    assert lettered(LONG).wanted().weight > lettered("Yes.").wanted().weight
    assert lettered("Yes.", picture=(96, 48)).wanted().aspect == 2


@pytest.mark.parametrize("top", [0.3, 0.45, 0.6])
def test_balloons_are_above_a_head_wherever_it_is_and_their_tails_point_to_it(top: float):
    panel = lettered("Come and play with us, all of you!", sentence="", picture=(200, 200), top=top)
    assert panel.fits(LARGE)
    (said,) = panel.lettered(Cell(0, LARGE))
    head = LARGE.y0 + top * LARGE.height
    assert said.body.y1 < head + 0.1 * LARGE.height
    assert said.tip is not None
    assert said.body.y1 < said.tip[1] <= head + 0.35 * LARGE.height
