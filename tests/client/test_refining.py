"""`lafi refine` against a real gRPC server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image
from rich.console import Console

from lafi.board.refinement import Refinement
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event, Failed, PanelImage
from lafi_client.refining import refine

STORY = """
title: Three panels
upscale: 2
sampling: {steps: 4}
characters: [{name: mia, prompt: a child}, {name: tom, prompt: a man}]
panels:
- prompt: "{mia} runs"
- prompt: "{mia} and {tom}"
- prompt: "{mia} sits"
  upscale: 4
- prompt: a house
"""


def run(server: Any, tmp_path: Path, **more: Any) -> tuple[int, str]:
    story = tmp_path / "story.yaml"
    story.write_text(STORY, encoding="utf-8")
    said = Console(file=io.StringIO(), width=200)
    code = refine(story, tmp_path / "out", server.url, retries=0, console=said, **more)
    return code, said.file.getvalue()  # type: ignore[attr-defined]


def test_each_round_reads_the_panels_of_the_round_before(server: Any, tmp_path: Path) -> None:
    code, said = run(server, tmp_path, rounds=2)
    assert code == 0
    assert said.count("3 of 4 panels read others; 1 show several characters without regions") == 2
    first, second, last = server.received
    assert not any(panel.references for panel in first.panels)
    for received in (second, last):
        read = [[each.character for each in panel.references] for panel in received.panels]
        assert read == [["mia"], ["mia", "mia"], ["mia"], []]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        *(f"panel_{number:02}.png" for number in range(4)),
        "contact_sheet.png",
        "report.html",
    }


def test_only_the_last_round_is_enlarged(server: Any, tmp_path: Path) -> None:
    assert run(server, tmp_path, rounds=1)[0] == 0
    first, last = server.received
    assert [first.effective_upscale(panel) for panel in first.panels] == [1, 1, 1, 1]
    assert [last.effective_upscale(panel) for panel in last.panels] == [2, 2, 4, 2]


def test_what_is_there_already_is_kept(server: Any, tmp_path: Path) -> None:
    assert run(server, tmp_path)[0] == 0
    sent = len(server.received)
    code, said = run(server, tmp_path)
    assert code == 0
    assert "every panel is there already" in said
    assert len(server.received) == sent + 1


def test_a_panel_that_failed_is_read_by_nobody(server: Any, tmp_path: Path) -> None:
    well = server.scripts[0]

    def one_fails(received: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(received, context):
            failed = isinstance(event, PanelImage) and event.panel == 0
            yield Failed(panel=0, error="no such thing", retryable=False) if failed else event

    server.scripts[:] = [one_fails, well]
    code, said = run(server, tmp_path, refinement=Refinement(denoise=0.5))
    assert code == 0
    assert "panel 0" in said
    _, last = server.received
    read = [len(panel.references) for panel in last.panels]
    assert read == [1, 1, 0, 0]
    begins = [last.effective_sampling(panel).stages[0].source for panel in last.panels]
    assert [source is not None for source in begins] == [False, True, True, True]
    with Image.open(tmp_path / "out" / "panel_00.png") as image:
        assert image.size[0] > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("panels: []", "panels"), ("panels: [{prompt: '{mya}'}]", "{mya}")],
)
def test_what_is_wrong_is_said_before_anything_is_drawn(
    server: Any, tmp_path: Path, text: str, said: str
) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(text, encoding="utf-8")
    console = Console(file=io.StringIO(), width=200)
    assert refine(story, tmp_path / "out", server.url, retries=0, console=console) == 2
    assert said in console.file.getvalue()  # type: ignore[attr-defined]
    assert not server.received
