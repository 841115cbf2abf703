"""Bad storyboard files, sent as a user would: each gets a clear error, and the server draws on."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from lafi.server.supervisor import Supervisor
from lafi_client import IdentityClient, ServerUnavailable
from lafi_client.commands import draw
from lafi_client.exit_codes import BAD_STORYBOARD, DRAWN

CHARACTER = "characters: [{name: mia, prompt: a child}]\n"
GOOD = CHARACTER + "sampling: {steps: 1}\npanels: [{prompt: '{mia} runs'}]\nwidth: 32\nheight: 32\n"


def huge_png(side: int) -> bytes:
    """A PNG whose header promises side x side pixels; it is a few bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def small_png() -> bytes:
    """A good picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, format="PNG")
    return buffer.getvalue()


def panel(text: str) -> str:
    """A storyboard with one panel made of `text`."""
    return f"{CHARACTER}panels: [{{{text}}}]\n"


def setting(text: str) -> str:
    """A good panel, and `text` at the top level."""
    return f"{CHARACTER}{text}\npanels: [{{prompt: a child runs}}]\n"


def reference(name: str) -> str:
    """A character with a reference file."""
    character = f"characters: [{{name: mia, prompt: a child, reference: {name}}}]\n"
    return character + "panels: [{prompt: '{mia} runs'}]\n"


FILES = {
    "text.png": b"this is a text file",
    "huge.png": huge_png(20_000),
    "cut.png": small_png()[:60],
    "empty.png": b"",
}

BAD: dict[str, tuple[str | bytes, str]] = {
    "broken YAML": ("panels: [", "line"),
    "an empty file": ("", "allowed"),
    "a list": ("- a\n- b\n", "mapping"),
    "invalid UTF-8": (b"title: \xff\xfe\n", "UTF-8"),
    "a repeated key": ("title: a\ntitle: b\n", "title"),
    "an alias": ("title: &a x\nnegative_prompt: *a\n", "allowed"),
    "scores without a recogniser": (setting("retry_below: 0.5"), "retry_below: got 0.5, allowed"),
    "no panels": (CHARACTER, "panels"),
    "an empty list of panels": (CHARACTER + "panels: []\n", "panels: got 0"),
    "65 panels": (
        CHARACTER + "panels:\n" + "- {prompt: a child}\n" * 65,
        "panels: got 65",
    ),
    "nine characters": (
        "characters:\n"
        + "".join(f"- {{name: c{i}, prompt: a child}}\n" for i in range(9))
        + "panels: [{prompt: x}]\n",
        "characters: got 9",
    ),
    "five characters in a panel": (
        "characters:\n"
        + "".join(f"- {{name: c{i}, prompt: a child}}\n" for i in range(5))
        + "panels: [{prompt: x, characters: [c0, c1, c2, c3, c4]}]\n",
        "panels[0].characters",
    ),
    "an unknown field": (setting("colour: red"), "colour: unknown field"),
    "a misspelt field": (setting("negative_promt: x"), "negative_prompt"),
    "an unknown character": (panel("prompt: '{zoe} runs'"), "zoe"),
    "a character twice": (
        "characters: [{name: a, prompt: x}, {name: a, prompt: y}]\npanels: [{prompt: x}]\n",
        "characters[1].name",
    ),
    "a name with a space": (
        "characters: [{name: my mia, prompt: x}]\npanels: [{prompt: x}]\n",
        "characters[0].name",
    ),
    "a prompt that is empty": (panel("prompt: ''"), "panels[0].prompt"),
    "a prompt of 3 KiB": (panel(f"prompt: {'a' * 3000}"), "panels[0].prompt"),
    "a prompt that is a number": (panel("prompt: 12"), "panels[0].prompt"),
    "a control character": (panel('prompt: "a\\x07b"'), "panels[0].prompt"),
    "NaN guidance": (setting("sampling: {guidance: .nan}"), "sampling.guidance: got nan"),
    "infinite guidance": (setting("sampling: {guidance: .inf}"), "sampling.guidance: got inf"),
    "guidance of 1000": (setting("sampling: {guidance: 1000}"), "sampling.guidance: got 1000"),
    "no steps": (setting("sampling: {steps: 0}"), "sampling.steps: got 0"),
    "101 steps": (setting("sampling: {steps: 101}"), "sampling.steps: got 101"),
    "half a step": (setting("sampling: {steps: 1.5}"), "sampling.steps: got 1.5"),
    "an unknown variant": (setting("variant: ink"), "variant: got 'ink', allowed: none, since"),
    "an unknown sampler": (setting("sampling: {sampler: Heum}"), "sampling.sampler: got"),
    "a side of a million": (setting("width: 1000000"), "width: got 1000000"),
    "a side that is negative": (setting("height: -64"), "height: got -64"),
    "a side the model cannot draw": (setting("width: 40"), "width: got 40"),
    "an unknown preset": (setting("injection: {layers: most}"), "injection.layers"),
    "a layer that is not there": (panel("prompt: '{mia} runs', injection: {layers: 900}"), "900"),
    "a window beyond 1": (setting("injection: {end: 1.5}"), "injection.end: got 1.5"),
    "a strength of 100": (setting("injection: {strength: 100}"), "injection.strength: got 100"),
    "a seed below 0": (panel("prompt: x, seed: -1"), "panels[0].seed: got -1"),
    "a region outside": (
        panel("prompt: '{mia} runs', regions: {mia: [0, 0, 2, 1]}"),
        "panels[0].regions",
    ),
    "a region of nobody": (
        panel("prompt: '{mia} runs', regions: {zoe: [0, 0, 1, 1]}"),
        "panels[0].regions",
    ),
    "a reference that is not there": (reference("nowhere.png"), "nowhere.png"),
    "a text file as reference": (reference("text.png"), "characters[0].reference"),
    "20,000 x 20,000 pixels": (reference("huge.png"), "far too many pixels"),
    "a picture cut off": (reference("cut.png"), "characters[0].reference"),
    "an empty picture": (reference("empty.png"), "characters[0].reference"),
}


def run(folder: Path, story: str | bytes, url: str) -> tuple[int, str]:
    """Exit code and output of `lafi draw` on a file with this content."""
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    path = folder / "story.yaml"
    path.write_bytes(story if isinstance(story, bytes) else story.encode())
    output = io.StringIO()
    console = Console(file=output, width=400)
    code = draw(path, folder / "out", url, overwrite=True, console=console)
    return code, output.getvalue()


@pytest.mark.parametrize("name", BAD)
def test_a_bad_storyboard_is_refused_with_a_clear_error(
    caller: Any, tmp_path: Path, name: str
) -> None:
    story, text = BAD[name]
    code, output = run(tmp_path, story, caller.url)
    assert code == BAD_STORYBOARD
    assert text in output
    assert "Traceback" not in output
    assert not list((tmp_path / "out").glob("panel_*.png"))


def test_after_all_of_them_the_server_draws(caller: Any, tmp_path: Path) -> None:
    assert len(BAD) >= 30
    code, _ = run(tmp_path, GOOD, caller.url)
    assert code == DRAWN
    assert (tmp_path / "out" / "panel_00.png").exists()


def test_a_server_without_a_recogniser_says_so_to_who_asks_for_one(server: Supervisor) -> None:
    with (
        IdentityClient(server.grpc_url) as client,
        pytest.raises(ServerUnavailable, match="exported with --recogniser"),
    ):
        client.identify(small_png())
