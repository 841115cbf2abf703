"""Lets a real kubectl read every manifest, as far as that goes without a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from server_config.chart_check.rendering import Rendered


def reading_problems(rendered: Rendered) -> list[str]:
    """What kubectl cannot decode, or does not see. It knows the kinds of Kubernetes itself."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "all.yaml"
        file.write_text(rendered.text, encoding="utf-8")
        done = subprocess.run(
            [
                *kubectl_alone(Path(folder)),
                "label",
                "--local",
                "--dry-run=client",
                "-f",
                file,
                "read=1",
                "-o",
                "name",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    if done.returncode:
        return [f"kubectl: {done.stderr.strip()}"]
    seen = len(done.stdout.split())
    there = len(rendered.manifests)
    return [] if seen == there else [f"kubectl saw {seen} of {there} objects"]


def kubectl_alone(folder: Path) -> list[str]:
    """The real kubectl, which finds no settings and no cluster. folder: stands for its home."""
    home = (f"HOME={folder}", f"KUBECONFIG={folder / 'none'}")
    return ["env", *home, str(Path(sys.executable).parent / "kubectl")]
