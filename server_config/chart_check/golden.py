"""Compares what is rendered with what is in the repository, so that a change is seen in review."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import replace
from typing import Final

from server_config.chart_check.rendering import HELM, Manifest, Rendered

GOLDEN: Final = HELM / "golden"
_SHOWN: Final = 20


def golden_problems(rendered: Rendered) -> list[str]:
    """The first lines that differ."""
    file = GOLDEN / f"{rendered.name}.yaml"
    kept = file.read_text(encoding="utf-8") if file.is_file() else ""
    now = _shortened(rendered).text
    if kept == now:
        return []
    lines = difflib.unified_diff(kept.splitlines(), now.splitlines(), "kept", "now", lineterm="")
    shown = "\n    ".join([*lines][:_SHOWN])
    return [f"golden/{file.name} differs; if that is wanted: make chart-golden\n    {shown}"]


def unused_golden(names: set[str]) -> list[str]:
    """Files of sets that are not there any more."""
    return [
        f"golden/{file.name}: there is no such set of values"
        for file in sorted(GOLDEN.glob("*.yaml"))
        if file.stem not in names
    ]


def write_golden(rendered: Rendered) -> None:
    """Keep what is rendered now."""
    GOLDEN.mkdir(exist_ok=True)
    text = _shortened(rendered).text
    (GOLDEN / f"{rendered.name}.yaml").write_text(text, encoding="utf-8")


def _shortened(rendered: Rendered) -> Rendered:
    return replace(rendered, manifests=tuple(_with_hashes(each) for each in rendered.manifests))


def _with_hashes(manifest: Manifest) -> Manifest:
    """The dashboard is a file of its own."""
    if manifest["kind"] != "ConfigMap":
        return manifest
    hashes = {
        name: f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"
        for name, text in manifest["data"].items()
    }
    return {**manifest, "data": hashes}
