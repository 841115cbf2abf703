"""`lafi draw` against a real gRPC server: files, resuming, exit codes."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image
from rich.console import Console

from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event, Failed, PanelImage
from lafi_client.commands import draw
from lafi_client.exit_codes import worst
from lafi_client.story_file import Overrides

STORY = """
title: <Mia & friends>
sampling: {steps: 2}
characters:
  - {name: mia, prompt: a child with red hair}
panels:
  - {prompt: "{mia} standing"}
  - {prompt: "{mia}在海滩上奔跑，夜晚"}
"""
EXAMPLES = Path(__file__).parents[2] / "client" / "examples"


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY, encoding="utf-8")
    return path


def run(server: Any, story: Path, **options: Any) -> tuple[int, str]:
    said = io.StringIO()
    code = draw(
        options.pop("stories", story),
        story.parent / "out",
        server.url,
        **{"retries": 0, "idle_timeout": 5.0, "console": Console(file=said, width=200), **options},
    )
    return code, said.getvalue()


def asked(server: Any) -> list[list[int]]:
    return [[panel.seed for panel in received.panels] for received in server.received]


def test_everything_is_written(server: Any, story: Path) -> None:
    code, said = run(server, story)
    out = story.parent / "out"
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        "panel_00.png",
        "panel_01.png",
        "portrait_mia.png",
        "contact_sheet.png",
        "report.html",
        "drawing.json",
    }
    assert "panel 1  0.2 s" in said or "panel 1  0.3 s" in said
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "&lt;Mia &amp; friends&gt;" in page
    assert page.count("data:image/png;base64,") == 5  # mia, and for each panel mia and the panel
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.mode == "RGB"


def test_a_second_run_draws_nothing(server: Any, story: Path) -> None:
    run(server, story)
    code, said = run(server, story)
    assert code == 0
    assert "every panel is there already" in said
    assert asked(server) == [[0, 1]]
    assert (story.parent / "out" / "report.html").read_text(encoding="utf-8").count(">kept<") == 2


def test_scores_are_said_and_kept(server: Any, story: Path) -> None:
    def scored(storyboard: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(storyboard, context):
            if isinstance(event, PanelImage):
                drawn = {"scores": {"mia": 0.5}, "seed": 1_000_000, "attempt": 2, "attempts": 3}
                event = event.model_copy(update=drawn)
            yield event

    well = server.scripts[0]
    server.scripts = [scored]
    _, said = run(server, story)
    assert "mia 0.50  best of 3, seed 1000000" in said
    out = story.parent / "out"
    for _ in range(2):
        record = json.loads((out / "drawing.json").read_text(encoding="utf-8"))["panel_00.png"]
        assert (record["scores"], record["seed"], record["attempts"]) == ({"mia": 0.5}, 1000000, 3)
        page = (out / "report.html").read_text(encoding="utf-8")
        assert page.count("<dd>mia 0.50</dd>") == 2
        assert page.count("1000000, best of 3 drawings") == 2
        assert run(server, story)[0] == 0
    story.write_text("retry_below: 0.9\n" + STORY, encoding="utf-8")
    run(server, story)
    assert asked(server) == [[0, 1], [0, 1]]


def test_only_what_changed_is_drawn_again(server: Any, story: Path) -> None:
    run(server, story)
    story.write_text(STORY.replace("standing", "waving"), encoding="utf-8")
    assert run(server, story)[0] == 0
    (story.parent / "out" / "panel_01.png").write_bytes(b"not a picture")
    assert run(server, story)[0] == 0
    (story.parent / "out" / "panel_01.png").unlink()
    assert run(server, story)[0] == 0
    assert asked(server) == [[0, 1], [0], [1], [1]]


def test_another_look_of_a_character_draws_all_her_panels_again(server: Any, story: Path) -> None:
    run(server, story)
    story.write_text(STORY.replace("red hair", "blue hair"), encoding="utf-8")
    run(server, story)
    assert asked(server) == [[0, 1], [0, 1]]


def test_a_record_that_is_no_record_is_drawn_over(server: Any, story: Path) -> None:
    run(server, story)
    (story.parent / "out" / "drawing.json").write_text('["?"]', encoding="utf-8")
    assert run(server, story)[0] == 0
    assert asked(server) == [[0, 1], [0, 1]]


def test_overwrite_and_single_panels(server: Any, story: Path) -> None:
    run(server, story)
    run(server, story, panels=[1])
    story.write_text(STORY.replace("standing", "waving"), encoding="utf-8")
    run(server, story, panels=[1])
    assert "kept, drawn with other settings" in (story.parent / "out" / "report.html").read_text(
        encoding="utf-8"
    )
    run(server, story, overwrite=True)
    assert asked(server) == [[0, 1], [1], [1], [0, 1]]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("panels: [", {}, "broken YAML"),
        (STORY.replace("{mia} standing", "{tom} standing"), {}, "tom"),
        (STORY, {"panels": [2]}, "--panel: got 2, allowed 0 to 1"),
        (STORY, {"timeout": -1.0}, "overall: got -1.0, allowed more than 0 seconds"),
    ],
)
def test_bad_storyboards_exit_with_2(
    server: Any, story: Path, text: str, options: dict[str, Any], said: str
) -> None:
    story.write_text(text, encoding="utf-8")
    code, output = run(server, story, **options)
    assert code == 2
    assert said in output
    assert not server.received


def test_a_folder_that_cannot_be_made_exits_with_2(server: Any, story: Path) -> None:
    (story.parent / "out").write_text("a file")
    code, output = run(server, story)
    assert code == 2
    assert "out'" in output


def test_a_refused_storyboard_exits_with_2(server: Any, story: Path) -> None:
    server.scripts = [lambda received, context: iter(["width: got 64, allowed: 96"])]
    code, output = run(server, story)
    assert code == 2
    assert output.startswith("width: got 64, allowed: 96")


def test_no_server_exits_with_3_and_what_has_arrived_stays(server: Any, story: Path) -> None:
    well = server.scripts[0]

    def breaks(received: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(received, context):
            yield event
            if isinstance(event, PanelImage):
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    server.scripts = [breaks, well]
    code, output = run(server, story)
    assert code == 3
    assert "run the same command again" in output
    assert (story.parent / "out" / "report.html").exists()
    assert run(server, story)[0] == 0
    assert asked(server) == [[0, 1], [0]]


def test_failed_panels_exit_with_4(server: Any, story: Path) -> None:
    well = server.scripts[0]

    def one_fails(received: Storyboard, context: grpc.ServicerContext) -> Iterator[Event]:
        for event in well(received, context):
            if isinstance(event, PanelImage) and event.panel == 0:
                yield Failed(panel=0, error="out of <memory>", retryable=False)
            else:
                yield event

    server.scripts = [one_fails]
    code, output = run(server, story)
    assert code == 4
    assert "panel 0 failed: out of <memory>" in output
    page = (story.parent / "out" / "report.html").read_text(encoding="utf-8")
    assert "out of &lt;memory&gt;" in page
    assert not list((story.parent / "out").glob(".*"))


def test_an_interruption_exits_with_130_and_keeps_panels(server: Any, story: Path) -> None:
    class Interrupting(Console):
        def print(self, *parts: Any, **options: Any) -> None:
            if str(parts[0]).startswith("panel"):
                raise KeyboardInterrupt

    code, _ = run(server, story, console=Interrupting(file=io.StringIO()))
    assert code == 130
    record = json.loads((story.parent / "out" / "drawing.json").read_text(encoding="utf-8"))
    assert sorted(record) == ["panel_01.png", "portrait_mia.png"]


def test_previews_show_pictures_in_a_terminal(server: Any, story: Path) -> None:
    said = io.StringIO()
    terminal = Console(file=said, force_terminal=True, color_system="truecolor", width=120)
    assert run(server, story, previews=True, console=terminal)[0] == 0
    assert "\u2580" in said.getvalue()
    assert "2/2 panels" in said.getvalue()


STAGES = "sampling: {stages: [{size: 0.5, steps: 2}, {steps: 4, denoise: 0.5}]}"


def test_previews_of_stages_and_notes(server: Any, staged: Any, story: Path) -> None:
    server.scripts = [staged]
    story.write_text(STORY.replace("sampling: {steps: 2}", STAGES), encoding="utf-8")
    said = io.StringIO()
    terminal = Console(file=said, force_terminal=True, color_system="truecolor", width=160)
    assert run(server, story, stage_previews=True, console=terminal)[0] == 0
    assert server.received[0].stage_previews
    out = story.parent / "out"
    names = sorted(path.name for path in out.glob("preview_*"))
    assert names == ["preview_00_1.png", "preview_01_1.png"]
    for line in ("note: a <note>", "panel 1  stage 1 is done", "stage 2/2", "12/12"):
        assert line in said.getvalue()
    assert "preview" not in (out / "drawing.json").read_text(encoding="utf-8")
    assert "every panel is there" in run(server, story)[1]


def test_a_drawing_goes_on_from_a_stage(server: Any, staged: Any, story: Path) -> None:
    server.scripts = [staged]
    text = STORY.replace("sampling: {steps: 2}", STAGES)
    story.write_text(text, encoding="utf-8")
    code, said = run(server, story, from_stage=2)
    assert (code, len(server.received)) == (2, 0)
    assert "--from-stage: got 2, and" in said
    assert "stage_00_1.safetensors is not there" in said
    assert run(server, story)[0] == 0
    assert (story.parent / "out" / "stage_01_1.safetensors").read_bytes() == b"latents 1 1"
    story.write_text(text.replace("denoise: 0.5", "denoise: 0.6"), encoding="utf-8")
    assert run(server, story, from_stage=2)[0] == 0
    resumed = [panel.resume for panel in server.received[1].panels]
    assert [(r.stage, r.data) for r in resumed if r] == [(2, b"latents 0 1"), (2, b"latents 1 1")]
    code, said = run(server, story, from_stage=3)
    assert (code, "--from-stage: got 3, allowed 1 to 2 for panel 0" in said) == (2, True)


def test_a_panel_is_drawn_again_with_the_one_that_it_begins_with(server: Any, story: Path) -> None:
    from_first = '"{mia} sitting", sampling: {from: 0, denoise: 0.5}'
    text = STORY.replace('"{mia}在海滩上奔跑，夜晚"', from_first)
    story.write_text(text, encoding="utf-8")
    run(server, story)
    story.write_text(text.replace("standing", "waving"), encoding="utf-8")
    run(server, story)
    story.write_text(text.replace("0.5", "0.6").replace("standing", "waving"), encoding="utf-8")
    run(server, story)
    record = json.loads((story.parent / "out" / "drawing.json").read_text(encoding="utf-8"))
    assert sorted(record) == ["panel_00.png", "panel_01.png", "portrait_mia.png"]
    assert asked(server) == [[0, 1], [0, 1], [0, 1]]
    run(server, story)
    assert len(server.received) == 3


def test_several_are_drawn_each_into_its_folder(server: Any, story: Path) -> None:
    bad, other = story.with_name("bad.yaml"), story.with_name("other.yaml")
    bad.write_text("panels: []", encoding="utf-8")
    other.write_text(STORY.replace("standing", "waving"), encoding="utf-8")
    assert run(server, story, stories=[story, other])[0] == 0
    out = story.parent / "out"
    for folder in ("story", "other"):
        assert (out / folder / "panel_01.png").exists()
        assert (out / folder / "report.html").exists()
    code, said = run(server, story, stories=[story, bad, other])
    assert code == 2
    assert "bad.yaml:\npanels: got 0 entries" in said
    assert said.count("every panel is there already") == 2


def test_the_worst_exit_code_counts() -> None:
    assert worst([0, 4, 3]) == 3
    assert worst([3, 2, 0]) == 2
    assert worst([2, 130]) == 130
    assert worst([]) == 0


def test_two_files_of_one_name_are_refused(server: Any, story: Path) -> None:
    twin = story.parent / "elsewhere" / "story.json"
    code, said = run(server, story, stories=[story, twin])
    assert code == 2
    assert "allowed files with different names" in said
    assert not server.received


def test_panels_are_named_by_a_template(server: Any, story: Path) -> None:
    assert run(server, story, name="{story}/{title}_{panel}")[0] == 0
    out = story.parent / "out"
    names = sorted(path.name for path in (out / "story").iterdir())
    assert names == ["_Mia _ friends__00.png", "_Mia _ friends__01.png"]
    assert "every panel is there" in run(server, story, name="{story}/{title}_{panel}")[1]
    code, said = run(server, story, name="{title}")
    assert code == 2
    assert "for panels 0 and 1" in said
    assert len(server.received) == 1


def test_the_command_line_changes_the_storyboard(server: Any, story: Path) -> None:
    overrides = Overrides(recipe="progressive", settings=("sampling.stages.1.denoise=0.5",))
    story.write_text(STORY.replace("sampling: {steps: 2}", ""), encoding="utf-8")
    assert run(server, story, overrides=overrides)[0] == 0
    first, second = server.received[0].sampling.stages
    assert (first.size, second.denoise, second.sampler) == (0.5, 0.5, "DPM++SDE")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_drawn(server: Any, tmp_path: Path, path: Path) -> None:
    said = Console(file=io.StringIO())
    assert draw(path, tmp_path, server.url, retries=0, console=said) == 0
    assert len(list(tmp_path.glob("panel_*.png"))) == len(server.received[0].panels)


def test_the_example_without_our_client_draws(server: Any, tmp_path: Path) -> None:
    script = EXAMPLES / "raw_tritonclient.py"
    done = subprocess.run(
        [sys.executable, script, server.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "'kind': 'finished'" in done.stdout
    assert (tmp_path / "panel_00.png").read_bytes().startswith(b"\x89PNG")


def test_who_waits_for_a_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lafi_client.retry.RetryPolicy.delay", lambda policy, attempt: 0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
    path = tmp_path / "story.yaml"
    path.write_text("panels: [{prompt: a child}]")
    said = io.StringIO()
    console = Console(file=said, width=200)
    assert draw(path, tmp_path / "out", url, retries=1, console=console) == 3
    assert f"no server is ready at {url} yet; trying again" in said.getvalue()
