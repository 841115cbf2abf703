"""Runs the commands of README.md that make Secrets with a real kubectl, which needs no cluster."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from server_config.chart_check.reading import kubectl_alone
from server_config.chart_check.rendering import ROOT, Rendered
from server_config.chart_check.schemas import schema_problems

README: Final = ROOT / "server_config" / "README.md"
KEYS: Final = {
    "lafi-tls": {"tls.crt", "tls.key", "ca.crt"},
    "lafi-keys": {"keys"},
    "lafi-test-key": {"key"},
    "lafi-metrics-key": {"key"},
    "lafi-store": {"credentials"},
}
"""What the chart reads of each Secret."""
_BLOCK: Final = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MAKES: Final = "kubectl create secret "


def command_problems() -> list[str]:
    """Commands that kubectl refuses, and Secrets without what the chart reads of them."""
    found, made = [], set()
    for line in _commands(README.read_text(encoding="utf-8")):
        try:
            secret = _secret(shlex.split(line))
        except (ValueError, OSError) as error:
            found.append(f"{line}: {error}")
            continue
        name = secret["metadata"]["name"]
        made.add(name)
        keys = {*secret["data"]}
        if keys != KEYS.get(name):
            found.append(f"{line}: makes {sorted(keys)}, the chart reads {KEYS.get(name)}")
        found += schema_problems(Rendered("README.md", (secret,)))
    return found + [f"README.md does not say how {name} is made" for name in {*KEYS} - made]


def _commands(page: str) -> list[str]:
    """Whole lines, without what follows a pipe or stands in a comment."""
    blocks = (block.replace("\\\n", " ") for block in _BLOCK.findall(page))
    lines = (line for block in blocks for line in block.splitlines())
    return [re.split(r" [|#]", line)[0].strip() for line in lines if line.startswith(_MAKES)]


def _secret(command: list[str]) -> Any:
    """What it would send, with empty files where it names some. Raises ValueError."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for word in command:
            if word.startswith("--from-file="):
                (folder / word.rpartition("=")[2]).write_text("x")
        options = ["--dry-run=client", "--output=yaml"]
        run = [*kubectl_alone(folder), *command[1:], *options]
        done = subprocess.run(run, capture_output=True, text=True, timeout=60, cwd=folder)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return yaml.safe_load(done.stdout)
