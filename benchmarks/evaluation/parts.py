"""Drawn panels on disk, one file for a method and a few groups, so that a run can be resumed.

A part's name is a hash of everything that decides its pixels, so it is never used for other
settings, weights or pairs. Knows panels, not readings: those are computed again from the pixels.
"""

import base64
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.evaluation.drawing import Drawer, pixels_of, png_of
from benchmarks.evaluation.methods import Method
from benchmarks.evaluation.pairs import Group, Pixels
from lafi.drawing.content_address import DRAWING_VERSION

VERSION = 1
"""Version of the content of a part, and of how peers draw."""


@dataclass(frozen=True, slots=True)
class Part:
    """Panels of some groups by one method, in order, and the seconds for drawing them."""

    panels: tuple[Pixels, ...]
    seconds: float
    drawn_now: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts under a folder.

    common: what decides pixels beside method and groups, as JSON: weights, engines, sampling.
    """

    folder: Path
    drawer: Drawer
    common: Mapping[str, Any]

    def get(self, method: Method, groups: Sequence[Group], repeat: int = 0) -> Part:
        """The part from disk if it exists; else drawn, and written whole or not at all."""
        path = self.path(method, groups, repeat)
        if path.exists():
            stored = json.loads(path.read_text())
            panels = tuple(pixels_of(base64.b64decode(png)) for png in stored["panels"])
            return Part(panels, stored["seconds"], drawn_now=False)
        started = time.monotonic()
        panels = tuple(self.drawer.draw(method, groups, repeat))
        seconds = time.monotonic() - started
        document = {
            "method": method.name,
            "repeat": repeat,
            "settings": method.settings(),
            "common": dict(self.common),
            "seconds": round(seconds, 3),
            "panels": [base64.b64encode(png_of(pixels)).decode() for pixels in panels],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)
        return Part(panels, seconds, drawn_now=True)

    def path(self, method: Method, groups: Sequence[Group], repeat: int) -> Path:
        """The name of a part; it does not depend on the method's name."""
        decides = {
            "version": [VERSION, DRAWING_VERSION],
            "common": dict(self.common),
            "settings": method.settings(),
            "groups": [group.digest for group in groups],
            "repeat": repeat,
        }
        text = json.dumps(decides, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
