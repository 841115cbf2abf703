"""Names of panel files: safe, inside the folder, one for each panel."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.storyboard import Storyboard
from lafi_client.drawing_folder import write_whole
from lafi_client.panel_names import panel_names

WHEN = datetime(2026, 11, 28, 9, 5, 7)


def names(template: str, title: str = "A day", panels: int = 2, story: str = "day") -> list[str]:
    board = Storyboard.model_validate({"title": title, "panels": [{"prompt": "a"}] * panels})
    return list(panel_names(template, board, story, WHEN))


@pytest.mark.parametrize(
    ("template", "first"),
    [
        ("{date}/{title}_{panel}", "2026-11-28/A day_00.png"),
        ("{story}-{panel}-{seed}.png", "day-00-0.png"),
        ("{time} {panel}.PNG", "09-05-07 00.PNG"),
        ("a/b/{panel}", "a/b/00.png"),
    ],
)
def test_fields_are_filled_in(template: str, first: str) -> None:
    assert names(template)[0] == first


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd_00.png"),
        ("C:\\temp", "C__temp_00.png"),
        ("夜晚的海滩", "夜晚的海滩_00.png"),
        ("a <b>?", "a _b___00.png"),
        ("...", "untitled_00.png"),
        ("", "untitled_00.png"),
        ("con", "con_00.png"),
        ("女" * 99, "女" * 26 + "_00.png"),
    ],
)
def test_titles_become_safe(title: str, name: str) -> None:
    assert names("{title}_{panel}", title)[0] == name


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{title}", "--name: got A day.png for panels 0 and 1, allowed a name of its own for each"),
        ("{panle}", "--name: got '{panle}', allowed {date}, {time}, {title}, {story}, {panel}, "),
        ("{panel:03d}", "--name: got '{panel:03d}', allowed {date}"),
        ("{panel.real}", "--name: got '{panel.real}', allowed {date}"),
        ("{panel", "--name: got '{panel', allowed no '{' in a name"),
        ("/abs/{panel}", "--name: got '/abs/{panel}', allowed a path below the folder"),
        ("../{panel}", "--name: got '../{panel}', allowed a path below the folder"),
        ("a/../{panel}", "--name: got 'a/../{panel}', allowed a path below the folder"),
        ("./{panel}", "--name: got './{panel}', allowed a path below the folder"),
        (".{panel}", "--name: got '.{panel}', allowed a path below the folder"),
        ("a//{panel}", "--name: got 'a//{panel}', allowed a path below the folder"),
        ("{panel}/", "--name: got '{panel}/', allowed a path below the folder"),
        ("c:\\{panel}", "--name: got 'c:\\\\{panel}', allowed no ':' in a name"),
        ("portrait_{panel}", "--name: got 'portrait_{panel}', allowed other names than those of"),
        ("x" * 200 + "{panel}", "--name: got 'xxx"),
    ],
)
def test_templates_that_are_refused(template: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        names(template)
    assert str(refused.value).startswith(said)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="{}")), st.text())
def test_whatever_the_title_a_name_stays_inside(title: str, story: str) -> None:
    made = names("x/{title}_{story}_{panel}", title, 3, story)
    assert len({name.casefold() for name in made}) == 3
    for name in made:
        assert PurePosixPath(name).parent == PurePosixPath("x")
        assert PureWindowsPath(name).parts[0] == "x"
        assert len(PureWindowsPath(name).parts) == 2
        assert len(name.encode()) < 255


@pytest.mark.parametrize(
    ("template", "title", "name"),
    [
        ("{title}", "con", "_con.png"),
        ("{title}", "AUX.b", "_AUX.b.png"),
        ("{title} /{panel}", "nul", "_nul/00.png"),
        ("{title}/{panel}", "contract", "contract/00.png"),
    ],
)
def test_names_that_are_devices_elsewhere(template: str, title: str, name: str) -> None:
    assert names(template, title, panels=1) == [name]


def test_a_file_is_written_into_folders_that_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.png", b"x")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]
