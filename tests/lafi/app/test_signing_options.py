"""Keys of `lafi draw`, `lafi page` and `lafi comic`: pages are signed, wrong ones stop all work."""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_triton import FakeTritonServer
from signers import Signer, manifest_of, signer
from typer.testing import CliRunner

from lafi.app.cli import app

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
STORY = """\
characters:
  - {name: mia, prompt: a slim child}
panels:
  - prompt: "{mia} running by day"
"""


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


@pytest.fixture
def own(tmp_path: Path) -> Signer:
    (tmp_path / "story.yaml").write_text(STORY)
    (tmp_path / "keys").mkdir()
    return signer(tmp_path / "keys")


def keys(own: Signer) -> list[str]:
    return ["--sign-key", str(own.key), "--sign-certificate", str(own.certificate)]


def test_panels_and_pages_of_every_kind_are_signed(
    server: FakeTritonServer, own: Signer, tmp_path: Path
):
    story, panels = str(tmp_path / "story.yaml"), str(tmp_path / "panels")
    drawn = runner.invoke(app, ["draw", story, "-o", panels, "--url", server.url, *keys(own)])
    assert drawn.exit_code == 0, drawn.output
    out = tmp_path / "pages"
    (tmp_path / "story.steps").mkdir()
    panel = {"scene": 0, "first": 0, "last": 0, "sentence": "Mia ran."}
    (tmp_path / "story.steps/panels.yaml").write_text(json.dumps({"panels": [panel]}))
    arguments = ["page", panels, "--out", str(out), "--story", story, "--format", "png,pdf,svg,cbz"]
    laid = runner.invoke(app, [*arguments, *keys(own)])
    assert laid.exit_code == 0, laid.output
    kinds = {
        "page_01.png": "image/png",
        "comic.pdf": "application/pdf",
        "page_01.svg": "image/svg+xml",
    }
    for name, mime in kinds.items():
        state, manifest = manifest_of((out / name).read_bytes(), mime, own.root)
        assert (state, manifest["title"]) == ("Trusted", name)
        made = {one["label"]: one["data"] for one in manifest["assertions"]}["lafi.drawing"]
        assert [one["name"] for one in made["panels"]] == ["panel_00.png"]
    with zipfile.ZipFile(io.BytesIO((out / "comic.cbz").read_bytes())) as archive:
        page = archive.read("page_01.png")
    assert manifest_of(page, "image/png", own.root)[0] == "Trusted"


@pytest.mark.parametrize("command", ["draw", "comic", "page", "edit"])
def test_a_wrong_key_stops_before_anything(
    command: str, server: FakeTritonServer, own: Signer, tmp_path: Path
):
    own.key.write_text("nothing")
    story, out = str(tmp_path / "story.yaml"), tmp_path / "out"
    arguments = {
        "draw": ["draw", story, "-o", str(out), "--url", server.url],
        "comic": ["comic", story, "--out", str(out), "--server", server.url],
        "page": ["page", str(tmp_path), "--out", str(out)],
        "edit": ["edit", story, "0", "at night", "--server", server.url],
    }
    result = runner.invoke(app, [*arguments[command], *keys(own)])
    assert result.exit_code == 2
    assert (
        "error: --sign-key: got key.pem, allowed: a private key without password" in result.output
    )
    assert (server.received, out.exists()) == ([], False)
    assert (tmp_path / "story.yaml").read_text() == STORY


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, own: Signer, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    arguments = ["draw", str(tmp_path / "story.yaml"), "-o", str(tmp_path / "out")]
    result = runner.invoke(app, [*arguments, *keys(own)])
    assert result.exit_code == 1
    assert "pip install 'lafi[origin]'" in result.output
    assert not (tmp_path / "out").exists()
