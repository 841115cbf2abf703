from pathlib import Path

import pytest

from comics import make_drawing, make_steps, panel, write_step
from lafi.board.error import StoryboardError
from lafi_story.pages.source import read_source


def refused(drawing: Path, story: Path | None = None) -> str:
    with pytest.raises(StoryboardError) as caught:
        read_source(drawing, story)
    return str(caught.value)


def test_the_pictures_of_a_drawing_by_number(tmp_path: Path):
    drawing = make_drawing(tmp_path / "d", 11, (64, 72))
    (drawing / "portrait_mia.png").write_bytes(b"no panel")
    source = read_source(drawing, None)
    assert [one.path.name for one in source.panels] == [f"panel_{n:02d}.png" for n in range(11)]
    assert {(one.width, one.height) for one in source.panels} == {(64, 72)}
    assert source.script is None


def test_the_steps_beside_a_storyboard_are_found_and_the_other_way_around(tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps", "zh")
    assert "no story.yaml beside" in read_source(drawing, steps).notes[0]
    board = tmp_path / "s.yaml"
    board.write_text("panels: [{prompt: a}, {prompt: b}, {prompt: c}]")
    for given in (board, steps):
        source = read_source(drawing, given)
        assert (source.title, source.language, source.notes) == ("风筝", "zh", ())
        assert source.storyboard is not None


def test_a_storyboard_without_steps_gives_no_text_and_says_so(tmp_path: Path):
    board = tmp_path / "s.yaml"
    board.write_text("title: Alone\npanels: [{prompt: a}]")
    source = read_source(make_drawing(tmp_path / "d", 1), board)
    assert (source.title, source.script) == ("Alone", None)
    assert "s.yaml has no steps beside it" in source.notes[0]


def test_every_panel_needs_its_picture(tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d"), make_steps(tmp_path / "s.steps")
    (drawing / "panel_01.png").unlink()
    assert "got pictures 0, 2, allowed: one for each panel, 0 to 2" in refused(drawing, steps)
    assert "got pictures 0, 2, allowed: one for each panel, 0 to 2" in refused(drawing)


def test_pictures_of_another_story_are_refused(tmp_path: Path):
    drawing, steps = make_drawing(tmp_path / "d", 4), make_steps(tmp_path / "s.steps")
    assert "got pictures 0, 1, 2, 3, allowed: one for each panel, 0 to 2" in refused(drawing, steps)
    board = tmp_path / "s.yaml"
    board.write_text("panels: [{prompt: a}]")
    (drawing / "panel_03.png").unlink()
    assert "panels: got 1, allowed: 3, as panels.yaml has" in refused(drawing, board)


def test_what_is_no_drawing_is_refused(tmp_path: Path):
    assert "allowed: a folder that `lafi draw` wrote (No such file" in refused(tmp_path / "none")
    assert "as `lafi draw` names them without --name" in refused(tmp_path)
    drawing = make_drawing(tmp_path / "d", 1)
    (drawing / "panel_00.png").write_bytes(b"GIF89a")
    assert "panel_00.png, allowed: a PNG picture" in refused(drawing)
    whole = make_drawing(tmp_path / "e", 1) / "panel_00.png"
    whole.write_bytes(whole.read_bytes()[:100])
    assert "panel_00.png, allowed: a PNG picture" in refused(whole.parent)


def test_a_wrong_step_is_named_with_its_file(tmp_path: Path):
    steps = tmp_path / "s.steps"
    steps.mkdir()
    write_step(steps / "panels.yaml", {"panels": [panel(0, "") | {"framing": "close"}]})
    assert "panels.yaml: panels[0].framing: got 'close'" in refused(
        make_drawing(tmp_path / "d", 1), steps
    )
