"""Names of characters: what is one, and which spellings are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.limits import character_name, folded
from lafi.board.storyboard import Storyboard, mentioned


@given(st.text(max_size=70))
def test_a_name_is_its_own_spelling(text: str) -> None:
    try:
        name = character_name(text)
    except ValueError:
        return
    assert character_name(name) == name == folded(text)
    assert mentioned(f"x{{{text}}}y") == (name,)
    assert 1 <= len(name) <= 64


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("Mia", "mia"),
        ("小美", "小美"),
        ("ＭＩＡ", "mia"),
        ("Straße", "strasse"),
        ("मीरा", "मीरा"),
        ("7-x", "7-x"),
    ],
)
def test_case_and_width_do_not_count(written: str, known: str) -> None:
    assert character_name(written) == known


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "{a}", "\u0301a", "a" * 65, "𠀀" * 64])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        character_name(name)


def test_one_name_in_two_spellings_is_one_character() -> None:
    mia = {"name": "Mia", "prompt": "a girl"}
    panel = {"prompt": "{MIA} and {mia}, miami", "regions": {"mIa": [0, 0, 0.5, 1]}}
    board = Storyboard(characters=[mia], panels=[panel])
    assert board.panels[0].characters == ("mia",)
    assert board.panels[0].prompt_text(board) == "a girl and a girl, miami"
    assert [*board.panels[0].regions] == ["mia"]
    with pytest.raises(StoryboardError, match=r"characters\[1\].name: got 'mia', allowed: a name"):
        Storyboard(characters=[mia, mia | {"name": "MIA"}], panels=[panel])
