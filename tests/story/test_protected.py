"""Names of others: a text that has them is refused with the place, or told with other names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi_story.command import story
from lafi_story.plan import Plan
from lafi_story.protected import ProtectedNames, load_protected
from lafi_story.reading import outline_of
from lafi_story.rules import RulePlanner
from lafi_story.telling import tell
from lafi_story.vocabulary import Vocabulary

TEXT = (
    "Wanda Quill ran across the meadow. Wanda Quill's coat was red.\n\n"
    '"Wait!" cried Tim Brown. Tim Brown sat down. The quills fell.\n\n'
    "Wanda Quill waved to Tim Brown on the beach at night."
)


def test_a_refused_name_is_named_with_its_place():
    names = ProtectedNames(refuse=("wanda  quill", "孙小圣"))
    with pytest.raises(StoryboardError) as refused:
        names.applied(outline_of(TEXT, title="Wanda Quill"))
    lines = refused.value.problems
    assert lines[0].startswith("the title, character 0: got 'Wanda Quill', allowed: a text without")
    assert lines[1].startswith("paragraph 0, character 0: got 'Wanda Quill', allowed: a text with")
    assert lines[2].startswith("paragraph 0, character 35: got 'Wanda Quill'")
    assert "(Wanda Quill ran across the meadow." in lines[1]
    assert len(lines) == 4
    with pytest.raises(StoryboardError, match="paragraph 0, character 3: got '孙小圣'"):
        names.applied(outline_of("有一天孙小圣来到海边。"))


def test_a_renamed_one_is_another_before_anybody_plans(
    vocabulary: Vocabulary, english_rules: RulePlanner
):
    names = ProtectedNames(rename={"Wanda Quill": "Hanna Berg", "Quill": "Berg"})
    told = tell(TEXT.encode(), english_rules, vocabulary, protected=names)
    assert {c.name for c in told.storyboard.characters} == {"hanna_berg", "tim_brown"}
    assert "Quill" not in told.to_yaml()
    assert "Hanna Berg's coat" in told.outline.paragraphs[0].text
    assert "The quills fell" in told.outline.paragraphs[1].text
    assert told.notes[0] == (
        "Wanda Quill is Hanna Berg: paragraph 0, character 0; paragraph 0, character 35; "
        "paragraph 2, character 0"
    )


def test_a_name_that_an_edited_step_brings_in_is_refused(vocabulary: Vocabulary, tmp_path: Path):
    novel, out = tmp_path / "novel.txt", tmp_path / "story.yaml"
    novel.write_text(TEXT)
    protected = tmp_path / "names.yaml"
    protected.write_text("refuse: [Zed Ozz]\n")
    assert story(str(novel), str(out), Plan(protected=protected)) == 0
    panels = tmp_path / "story.steps" / "panels.yaml"
    text = panels.read_text().replace("- first: 0", '- prompt: "zed ozz runs"\n  first: 0', 1)
    panels.write_text(text)
    before = out.read_text()
    assert story(str(novel), str(out), Plan(protected=protected)) == 1
    assert out.read_text() == before


@given(st.text("ab 孙圣.'_", max_size=40))
def test_after_renaming_no_name_is_left(text: str):
    names = ProtectedNames(rename={"a b": "c", "孙圣": "李四"})
    outline = outline_of(f"x {text} x")
    changed, _ = names.applied(outline)
    assert not any(names._found(p.text) for p in changed.paragraphs)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "names.yaml: got .*, allowed: a mapping with refuse, rename or both"),
        ("refuse: ['']\n", r"names.yaml: refuse\[0\]: got '', allowed: a name of 1 to 64"),
        ("renames: {a: b}\n", "names.yaml: renames: unknown field"),
        ("refuse: [A]\nrename: {a: b}\n", "rename.a: got 'b', allowed: a name that is not refused"),
        ("rename: {a: the b, b: c}\n", "rename.a: got 'the b', allowed: a name that is free"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, line: str, tmp_path: Path):
    file = tmp_path / "names.yaml"
    file.write_text(text)
    with pytest.raises(StoryboardError, match=line):
        load_protected(file)
