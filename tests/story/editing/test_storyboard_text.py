"""A file is changed where a value stands: all else in it stays, byte for byte."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.file import parse
from lafi_story.editing.changes import PanelChange
from lafi_story.editing.storyboard_text import with_changes

FILE = """\
# head
title: "a"   # of it
panels:
  # the first
  - prompt: >  # folded
      {mia} climbing
      a tree

    # about the seed
    seed: 4
  - {prompt: '{mia} it''s', seed: 5} # flow
  - seed: 6
    prompt: {mia} plain
      on two lines # why
    regions:
      mia: [0.0, 0.0, 0.5, 1.0] # left
      tom:
        - 0.5
        - 0.0
        - 1.0
        - 1.0
    # after the regions
    characters: [mia, tom]
characters: []
# tail
""".replace("prompt: {mia} plain", "prompt: a plain one")
BOXES = {"mia": (0.0, 0.0, 0.5, 1.0), "tom": (0.5, 0.0, 1.0, 1.0)}


def test_every_form_of_a_prompt_is_replaced_and_comments_stay():
    new = [PanelChange(number, f"new {number}: # 'no' comment") for number in range(3)]
    text = with_changes(FILE, new)
    assert [p["prompt"] for p in parse(text)["panels"]] == [one.prompt for one in new]
    for comment in ("# head", "# of it", "# the first", "# about the seed", "# flow", "# why"):
        assert comment in text
    assert text.endswith("characters: []\n# tail\n")
    assert "# left" in text


def test_regions_and_characters_are_replaced_or_put_behind_the_prompt():
    changes = [PanelChange(n, f"p{n}", BOXES, ("tom",) if n == 2 else None) for n in range(3)]
    text = with_changes(FILE, changes)
    panels = parse(text)["panels"]
    assert [p["regions"] for p in panels] == [{n: list(b) for n, b in BOXES.items()}] * 3
    assert panels[2]["characters"] == ["tom"]
    assert '- {prompt: "p1", "regions": {"mia": [0.0, 0.0, 0.5, 1.0]' in text
    assert '- prompt: "p0"\n    regions: {"mia"' in text
    assert "    # after the regions\n" in text
    gone = with_changes(text, [PanelChange(1, "p1", {})])
    assert parse(gone)["panels"][1]["regions"] == {}


def test_line_ends_and_json_stay_as_they_are():
    text = with_changes(FILE.replace("\n", "\r\n"), [PanelChange(2, "x", characters=("mia",))])
    assert text.count("\r\n") == text.count("\n")
    data = {"panels": [{"prompt": "a"}, {"seed": 1, "prompt": "b"}], "title": "小"}
    for indent in (None, 2):
        whole = json.dumps(data, indent=indent, ensure_ascii=False)
        found = with_changes(whole, [PanelChange(1, "小美", BOXES)])
        assert json.loads(found)["panels"][1]["prompt"] == "小美"
        assert with_changes(whole, [PanelChange(0, "a")]) == whole


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_prompt_reads_back(prompt: str):
    text = with_changes(FILE, [PanelChange(0, prompt), PanelChange(1, prompt)])
    assert [p["prompt"] for p in parse(text)["panels"]][:2] == [prompt, prompt]


def test_a_file_that_cannot_be_changed_in_place_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lafi_story.editing.storyboard_text._extent", lambda text, node: (0, 0))
    with pytest.raises(StoryboardError, match="got a file that cannot be changed in place"):
        with_changes(FILE, [PanelChange(1, "x")])
