"""A real server whose repository says `safety: flag`: words are in the answer, panels come."""

from typing import Any

from lafi.board.storyboard import Panel, Storyboard
from lafi.wire.events import Accepted, PanelImage


def test_a_word_of_the_list_is_said_and_the_panel_drawn(caller: Any):
    board = Storyboard(
        sampling={"steps": 1}, panels=(Panel(prompt="a naked tree"), Panel(prompt="a tree"))
    )
    events = caller.draw(board)
    assert isinstance(events[0], Accepted), events[0]
    line = "safety: panels[0].prompt has 'naked', a word of this server's list"
    assert [note for note in events[0].notes if note.startswith("safety")] == [line]
    assert sorted(e.panel for e in events if isinstance(e, PanelImage)) == [0, 1]
