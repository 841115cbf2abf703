"""What the measurements of reuse say about what was drawn."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.deep_features.kept import IntervalDenoiser
from benchmarks.deep_reuse import switch
from benchmarks.step_reuse import WAYS, Outcome, finished_outcomes, psnr
from lafi.board.injection import Injection

ONE = Outcome("a", "plain", 30.0, 60.0, 1.0, 1.0, 1.0, None, None, 0.5, 0.5, 0.5)
ENGINES: Any = SimpleNamespace(info=SimpleNamespace(weights_sha256="ab"))


def test_psnr_leaves_out_panels_that_are_the_same() -> None:
    plain = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    panels = plain.copy()
    panels[1] += 255
    panels[2] += 1
    assert psnr(panels, plain) == pytest.approx([0.0, 20 * np.log10(255)])


def test_only_settings_that_ended_with_the_same_panels_and_weights_are_known(
    tmp_path: Path,
) -> None:
    ended = [replace(ONE, way=way) for way in WAYS]
    begun = replace(ONE, injection="b")
    document = {"outcomes": [asdict(one) for one in [*ended, begun]]}
    document |= {"count": 4, "seed": 1, "weights_sha256": "ab"}
    assert finished_outcomes(tmp_path, 4, 1, ENGINES) == []
    (tmp_path / "step_reuse.json").write_text(json.dumps(document))
    assert finished_outcomes(tmp_path, 4, 1, ENGINES) == ended
    assert finished_outcomes(tmp_path, 5, 1, ENGINES) == []
    assert finished_outcomes(tmp_path, 4, 2, ENGINES) == []
    (tmp_path / "step_reuse.json").write_text(json.dumps(document | {"weights_sha256": "cd"}))
    assert finished_outcomes(tmp_path, 4, 1, ENGINES) == []


def test_whole_calls_come_at_every_interval_and_where_injection_switches() -> None:
    nothing: Any = None
    always = switch(Injection(), 30)
    assert always == {24}
    lockstep = IntervalDenoiser(nothing, nothing, 5, always)
    assert [step for step in range(30) if lockstep.whole(step)] == [0, 5, 10, 15, 20, 24, 25]
