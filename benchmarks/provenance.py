"""The origin of every figure: machine, versions, commit, command."""

import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lafi.app.machine import cpu_name_and_flags
from lafi.model.info import load_model_info
from lafi.server.cores import usable_cores


def provenance(repository: Path, command: str, packages: Sequence[str]) -> dict[str, Any]:
    """The origin of figures of the model in `repository`, written by `lafi export`.

    packages: distributions whose versions matter.
    """
    info = load_model_info(repository / "artifacts")
    return {
        **surroundings(command, packages),
        "engine": f"{info.engine} {info.precision}",
        "weights_sha256": info.weights_sha256,
    }


def surroundings(command: str, packages: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, commit and command, without a model."""
    return {
        "command": command,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": cpu_name_and_flags()[0],
        "cores": usable_cores(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def commit() -> str:
    """The commit of the working tree, or nothing if there is none."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
