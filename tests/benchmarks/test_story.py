"""The marks of stories, and the counting. The planner itself is tested in tests/story."""

from pathlib import Path

import pytest

from benchmarks.story.measure import QUESTIONS, Count, measure
from benchmarks.story.scripted import SCRIPT, TruthEndpoint
from benchmarks.story.truth import load_story
from lafi.board.limits import MAX_PANELS
from lafi_story.llm.asking import Asker
from lafi_story.llm.planner import LlmPlanner
from lafi_story.reading import outline_of
from lafi_story.steps import Cast, Figure, Line, PanelScript, Person, Scene, Scenes, Script
from lafi_story.vocabulary import load_vocabulary

STORIES = Path(__file__).parents[2] / "benchmarks/story"
MARKED = """title: t
language: en
character: mia = Mia | Amelia
character: tim = Tim

[*mia,tim > mia,tim] "Come!" said Mia. "No," said Tim.
[*tim >] Tim sat down.
"""


def story(tmp_path: Path, text: str = MARKED):
    path = tmp_path / "t.txt"
    path.write_text(text)
    return load_story(path)


def steps(speaker: str, border: int) -> tuple[Scenes, Cast, Script]:
    scenes = Scenes(scenes=(Scene(first=0, last=border - 1), Scene(first=border, last=1)))
    cast = Cast(characters=tuple(Person(name=n, aliases=(n.title(),)) for n in ("amelia", "tim")))
    lines = tuple(Line(speaker=s, text="x", paragraph=0) for s in ("amelia", speaker))
    panels = (
        PanelScript(
            scene=0, first=0, last=0, sentence="x", lines=lines, figures=(Figure(name="amelia"),)
        ),
        PanelScript(scene=1, first=1, last=1, sentence="x", figures=(Figure(name="tim"),)),
    )
    return scenes, cast, Script(panels=panels)


def test_what_is_right_and_what_is_not_is_counted(tmp_path: Path):
    counts = measure(story(tmp_path), *steps("", 1)).counts
    assert counts["characters"].f1 == 1
    assert counts["scenes"].f1 == 1
    assert counts["presence"] == Count(right=2, found=2, true=3)
    assert counts["speakers"] == Count(right=1, found=1, true=2)
    assert measure(story(tmp_path), *steps("tim", 1)).counts["speakers"].f1 == 1


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("> mia,tim]", "> mia]", "paragraph 0: 1 for 2 quotes"),
        ("[*tim >]", "[*zoe >]", "no such character: zoe"),
        ("[*tim >]", "", "neither a field nor a paragraph"),
    ],
)
def test_wrong_marks_are_refused(tmp_path: Path, old: str, new: str, line: str):
    with pytest.raises(ValueError, match=line):
        story(tmp_path, MARKED.replace(old, new))


@pytest.mark.parametrize("path", sorted(STORIES.glob("*/*.txt")), ids=lambda path: path.stem)
def test_the_marked_stories_are_whole(path: Path):
    found = load_story(path)
    assert 1400 <= len(found.text) <= (14_000 if path.parent.name == "published" else 7000)
    assert found.borders
    # Who writes a letter or calls from elsewhere speaks and is nowhere.
    known = {key for there in (*found.present, *found.speakers) for key in there}
    assert known == found.characters.keys()


def test_nothing_to_find_and_nothing_found_is_right():
    assert Count().f1 == 1
    assert Count(found=2).f1 == 0


@pytest.mark.parametrize("path", sorted((STORIES / "seen").glob("*.txt")), ids=lambda p: p.stem)
def test_answers_made_from_what_is_true_come_through_the_machinery_and_errors_do_not(path: Path):
    story = load_story(path)
    planner = LlmPlanner(Asker(SCRIPT, TruthEndpoint(story)), load_vocabulary())
    outline = outline_of(story.text, story.name)
    scenes = planner.scenes(outline)
    cast = planner.characters(outline, scenes)
    script = planner.panels(outline, scenes, cast, MAX_PANELS)
    found = measure(story, scenes, cast, script)
    assert found.wrong == []
    assert {question: count.f1 for question, count in found.counts.items()} == dict.fromkeys(
        QUESTIONS, 1.0
    )
    said = "\n".join((*scenes.notes, *cast.notes, *script.notes))
    for error in ("is outside", "Zebulon", "is not said there", "put into the order"):
        assert error in said
