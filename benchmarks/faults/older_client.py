"""Storyboards sent by the client as it was at an earlier commit, in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi.board.storyboard import Storyboard

OLDER: Final = "ff9f0bcb"
"""The first client that attaches to what it has sent; it knows nothing of what came later."""
_ROOT: Final = Path(__file__).parents[2]
_SCRIPT: Final = """
import hashlib, json, sys
from lafi.board.storyboard import Storyboard
from lafi_client import LafiError, StoryboardClient
from lafi_client.retry import RetryPolicy

url, retries = sys.argv[1], int(sys.argv[2])
board = Storyboard.model_validate_json(sys.stdin.read())
with StoryboardClient(url, retries=RetryPolicy(retries, max_delay=1.0)) as client:
    try:
        for panel in client.draw(board):
            digest = hashlib.sha256(panel.png).hexdigest()
            line = {"panel": panel.panel, "digest": digest, "address": panel.address}
            print(json.dumps(line | {"kept": panel.kept}), flush=True)
    except LafiError as error:
        print(json.dumps({"error": str(error)}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class SentPanel:
    """A panel as that client got it. digest: SHA-256 of the PNG."""

    panel: int
    digest: str
    address: str
    kept: bool


@dataclass(frozen=True, slots=True)
class OlderClient:
    """Sources of that commit in `folder`."""

    folder: Path

    def draw(self, url: str, board: Storyboard, retries: int) -> tuple[list[SentPanel], str]:
        """The panels in the order in which they came, and the error at the end, "" if none.

        Only fields that are set are sent, so that the board may be of today's model. Raises
        RuntimeError if the process fails.
        """
        path = os.pathsep.join([str(self.folder / "client"), str(self.folder)])
        run = subprocess.run(
            [sys.executable, "-P", "-c", _SCRIPT, url, str(retries)],
            input=board.model_dump_json(exclude_unset=True),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        if run.returncode:
            raise RuntimeError(
                f"the older client ended with {run.returncode}: {run.stderr[-2000:]}"
            )
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        errors = [line["error"] for line in lines if "error" in line]
        panels = [SentPanel(**line) for line in lines if "error" not in line]
        return panels, "".join(errors)


def older_client(folder: Path, commit: str = OLDER) -> OlderClient:
    """Write that commit's client, and what it imports of `lafi`, to `folder`.

    Raises RuntimeError where the history of this checkout does not reach so far back.
    """
    run = subprocess.run(
        ["git", "archive", "--format=tar", commit, "client/lafi_client", "lafi"],
        cwd=_ROOT,
        capture_output=True,
        check=False,
    )
    if run.returncode:
        said = run.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"commit: got {commit}, allowed: one of this checkout's ({said})")
    with tarfile.open(fileobj=io.BytesIO(run.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return OlderClient(folder)
