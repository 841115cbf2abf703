"""`lafi compare` against a real gRPC server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image
from rich.console import Console

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event, Failed, PanelImage
from lafi_client.comparison import compare
from lafi_client.contact_sheet import CELL, GAP

STORY = """
title: Two panels
sampling: {stages: [{size: 0.5, guidance: 3}, {denoise: 0.5}]}
characters: [{name: mia, prompt: a child}]
panels: [{prompt: "{mia}在海滩上奔跑"}, {prompt: a dog}]
"""
VARY = ["sampling.stages.0.guidance=2,4", "sampling.stages.1.steps=8,16,30"]


def run(server: Any, tmp_path: Path, variations: list[str], **more: Any) -> tuple[int, str]:
    story = tmp_path / "story.yaml"
    story.write_text(STORY, encoding="utf-8")
    said = Console(file=io.StringIO(), width=200)
    options = {"retries": 0, "console": said, "variations": variations, **more}
    code = compare(story, tmp_path / "out", server.url, **options)
    return code, said.file.getvalue()  # type: ignore[attr-defined]


def sheet(tmp_path: Path) -> Image.Image:
    return Image.open(tmp_path / "out" / "compare.png").convert("RGB")


def test_each_combination_is_a_row_and_each_panel_a_column(server: Any, tmp_path: Path) -> None:
    code, said = run(server, tmp_path, VARY)
    assert code == 0
    assert "6/6  sampling.stages.0.guidance=4, sampling.stages.1.steps=30" in said
    drawn = [
        (first.guidance, second.steps)
        for first, second in (received.sampling.stages for received in server.received)
    ]
    assert drawn == [(2, 8), (2, 16), (2, 30), (4, 8), (4, 16), (4, 30)]
    picture = sheet(tmp_path)
    assert picture.width == GAP + 3 * (CELL + GAP)
    assert picture.height > 6 * (CELL + GAP)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["compare.png"]


def test_pictures_stand_in_their_cells(server: Any, tmp_path: Path) -> None:
    assert run(server, tmp_path, ["panels.1.seed=1,3"])[0] == 0
    picture = sheet(tmp_path)
    colours = {picture.getpixel((GAP + 2 * (CELL + GAP) + 99, y)) for y in range(picture.height)}
    assert {(40, 90, 120), (120, 90, 120)} <= colours
    first = {picture.getpixel((GAP + CELL + GAP + 99, y)) for y in range(picture.height)}
    assert (0, 90, 120) in first
    assert not first & {(40, 90, 120), (120, 90, 120)}


def test_only_some_panels(server: Any, tmp_path: Path) -> None:
    assert run(server, tmp_path, ["title=a,b"], panels=[1])[0] == 0
    assert [len(received.panels) for received in server.received] == [1, 1]
    assert sheet(tmp_path).width == GAP + 2 * (CELL + GAP)


@pytest.mark.parametrize(
    ("variations", "more", "said"),
    [
        (["guidance"], {}, "--vary: got 'guidance', allowed: FIELD=VALUE,VALUE, such as"),
        (["sampling.stages.2.steps=1"], {}, "sampling.stages: got '2', allowed: 0 to 1"),
        (["sampling.stages.0.steps=0"], {}, "sampling.stages[0].steps: got 0, allowed: a whole"),
        (["width=64"], {"panels": [2]}, "--panel: got 2, allowed 0 to 1"),
        (
            [f"priority={','.join('0' * 201)}"],
            {},
            "--vary: got 201 rows of 2 panels, 402 pictures, allowed 400; --panel chooses panels",
        ),
        ([f"priority={','.join('0' * 30)}"] * 2, {}, "--vary: got 900 rows, allowed 1 to 400"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_drawn(
    server: Any, tmp_path: Path, variations: list[str], more: dict[str, Any], said: str
) -> None:
    code, output = run(server, tmp_path, variations, **more)
    assert code == 2
    assert said in output
    assert not server.received


def test_failures_are_on_the_sheet_and_a_lost_server_ends_it(server: Any, tmp_path: Path) -> None:
    well = server.scripts[0]

    def one_fails(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(asked, context):
            if isinstance(event, PanelImage) and event.panel == 0:
                yield Failed(panel=0, error="out of memory", retryable=False)
            else:
                yield event

    def breaks(asked: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        yield

    server.scripts = [one_fails, well, breaks]
    code, said = run(server, tmp_path, ["width=64,96"])
    assert code == 4
    assert "panel 0 failed: out of memory" in said
    code, said = run(server, tmp_path, ["width=64,96"])
    assert code == 3
    assert "Socket closed" in said
