"""What `lafi identify` prints."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lafi.wire.identity import Identified
from lafi_client.identity import IdentityClient
from lafi_client.identity_commands import DONE, NOBODY_ENROLLED, identify


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (("mia", 0.9), "a.png: mia 0.900"),
        (("", 0.4), "a.png: unknown 0.400"),
        (("", NOBODY_ENROLLED), "nobody is enrolled for this server's recogniser: lafi enrol NAME"),
    ],
)
def test_who_is_in_a_picture_or_how_to_enrol_somebody(
    found: tuple[str, float], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(b"a picture")
    answer = Identified(*found, np.zeros(2, np.float32))
    monkeypatch.setattr(IdentityClient, "identify", lambda self, image: answer)
    output = io.StringIO()
    console = Console(file=output, width=200)
    assert identify([Path("a.png")], "127.0.0.1:1", console=console) == DONE
    assert said in output.getvalue()
