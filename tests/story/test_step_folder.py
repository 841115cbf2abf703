from pathlib import Path

import pytest

from lafi.board.error import StoryboardError
from lafi_story.step_folder import StepFolder, digest
from lafi_story.steps import Scene, Scenes

ONE = Scenes(scenes=(Scene(first=0, last=3, place="city"),))
TWO = Scenes(scenes=(Scene(first=0, last=3, place="farm"),))


def test_a_kept_step_is_not_made_again_until_what_it_comes_from_changes(tmp_path: Path):
    made = []

    def make(scenes: Scenes) -> Scenes:
        made.append(scenes)
        return scenes

    for source, scenes, found in (("a", ONE, ONE), ("a", TWO, ONE), ("b", TWO, TWO)):
        folder = StepFolder(tmp_path)
        assert folder.step("s.yaml", Scenes, source, lambda s=scenes: make(s)) == found
        assert folder.notes == []
    assert made == [ONE, TWO]


def test_an_edited_step_is_used_and_said_also_when_its_source_changed(tmp_path: Path):
    StepFolder(tmp_path).step("s.yaml", Scenes, "a", lambda: ONE)
    path = tmp_path / "s.yaml"
    path.write_text(path.read_text().replace("city", "beach"))
    folder = StepFolder(tmp_path)
    assert folder.step("s.yaml", Scenes, "a", lambda: TWO).scenes[0].place == "beach"
    assert folder.notes == ["s.yaml: used as edited"]
    folder = StepFolder(tmp_path)
    assert folder.step("s.yaml", Scenes, "b", lambda: TWO).scenes[0].place == "beach"
    assert "has changed since" in folder.notes[0]


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        ("scenes: []", "s.yaml: scenes: got 0 entries"),
        ("scenes: [{first: 3, last: 1}]", "s.yaml: last: got 1, allowed: 3 or more"),
        ("scene: 1", "s.yaml: scene: unknown field"),
        ("scenes: [", "s.yaml: line 1"),
        ("scenes: [{first: 0, last: 1, place: 'a\x01'}]", "s.yaml: "),
    ],
)
def test_a_wrong_edit_is_refused_with_its_file_and_field(tmp_path: Path, edit: str, line: str):
    (tmp_path / "s.yaml").write_text(edit)
    with pytest.raises(StoryboardError) as caught:
        StepFolder(tmp_path).step("s.yaml", Scenes, "a", lambda: ONE)
    assert line in str(caught.value)


def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path: Path):
    outside = tmp_path / "precious"
    outside.write_text("keep")
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / ".s.yaml.half").symlink_to(outside)
    (steps / "steps.json").write_text("[]")
    StepFolder(steps).step("s.yaml", Scenes, "a", lambda: ONE)
    assert outside.read_text() == "keep"
    assert not (steps / "s.yaml").is_symlink()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoryboardError, match="a place to write"):
        StepFolder(tmp_path / "file" / "steps")


def test_a_digest_tells_parts_apart():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc")}) == 3
