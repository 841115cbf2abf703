"""Lints the Dockerfiles with hadolint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from server_config.chart_check.rendering import ROOT

IMAGES: Final = ROOT / "server_config" / "image"


def image_problems() -> list[str]:
    """What hadolint says of each Dockerfile."""
    files = sorted(IMAGES.glob("Dockerfile*"))
    if not files:
        return [f"{IMAGES}: there is no Dockerfile"]
    tool = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [tool, "--failure-threshold", "info", *files], capture_output=True, text=True, timeout=60
    )
    return (done.stdout + done.stderr).splitlines() if done.returncode else []
