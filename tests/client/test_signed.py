"""`lafi draw` with a key: every picture in the folder is signed, and nothing is drawn again."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from signers import Signer, manifest_of, signer

from lafi.origin.signing import Signing, signing_of
from lafi_client.commands import draw
from lafi_client.control_commands import attach, submit

STORY = """
sampling: {steps: 2}
characters:
  - {name: mia, prompt: a child with red hair}
panels:
  - {prompt: "{mia} standing"}
  - {prompt: "{mia} running"}
"""


@pytest.fixture
def own(tmp_path: Path) -> Signer:
    (tmp_path / "keys").mkdir()
    return signer(tmp_path / "keys")


@pytest.fixture
def signing(own: Signer) -> Signing:
    found = signing_of(own.key, own.certificate)
    assert found is not None
    return found


def run(server: Any, folder: Path, **options: Any) -> int:
    (folder / "story.yaml").write_text(STORY)
    return draw(folder / "story.yaml", folder / "out", server.url, retries=0, **options)


def test_all_pictures_are_signed_and_kept(
    server: Any, tmp_path: Path, own: Signer, signing: Signing
) -> None:
    assert run(server, tmp_path, signing=signing) == 0
    pictures = sorted((tmp_path / "out").glob("*.png"))
    assert {"panel_00.png", "panel_01.png", "contact_sheet.png"} <= {p.name for p in pictures}
    for path in pictures:
        state, manifest = manifest_of(path.read_bytes(), "image/png", own.root)
        assert (state, manifest["title"]) == ("Trusted", path.name)
        assert "standing" not in json.dumps(manifest)
    before = [path.read_bytes() for path in pictures if path.name.startswith("panel")]
    assert run(server, tmp_path, signing=signing) == 0
    assert len(server.received) == 1
    assert [p.read_bytes() for p in pictures if p.name.startswith("panel")] == before
    record = (tmp_path / "out/drawing.json").read_text()
    assert signing.fingerprint in record
    assert "PRIVATE" not in record


def test_what_was_drawn_without_a_key_is_signed_later(
    server: Any, tmp_path: Path, own: Signer, signing: Signing
) -> None:
    assert run(server, tmp_path) == 0
    console = Console(record=True, width=200)
    assert run(server, tmp_path, signing=signing, console=console) == 0
    assert "pictures that were there already" in console.export_text()
    assert len(server.received) == 1
    data = (tmp_path / "out/panel_01.png").read_bytes()
    assert manifest_of(data, "image/png", own.root)[0] == "Trusted"
    assert run(server, tmp_path) == 0  # without a key again: they stay as they are
    assert len(server.received) == 1


def test_what_attach_fetches_is_signed(
    server: Any, tmp_path: Path, own: Signer, signing: Signing
) -> None:
    (tmp_path / "story.yaml").write_text(STORY)
    server.ids = True
    said: list[str] = []
    assert submit([tmp_path / "story.yaml"], server.url, said=said.append) == 0
    out = tmp_path / "out"
    assert attach(said[0], out, server.url, retries=0, signing=signing) == 0
    data = (out / "panel_00.png").read_bytes()
    assert manifest_of(data, "image/png", own.root)[0] == "Trusted"
