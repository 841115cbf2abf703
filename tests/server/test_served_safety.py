"""A real server whose repository says `safety: flag`: words and scores are in the answer."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lafi.board.storyboard import Panel, Storyboard
from lafi.engine.onnx.classifier import load_classifier
from lafi.wire.events import Accepted, PanelImage


def test_a_word_of_the_list_is_said_and_the_panel_drawn_and_judged(
    caller: Any, served_repository: Path
):
    board = Storyboard(
        sampling={"steps": 1}, panels=(Panel(prompt="a naked tree"), Panel(prompt="a tree"))
    )
    events = caller.draw(board)
    assert isinstance(events[0], Accepted), events[0]
    line = "safety: panels[0].prompt has 'naked', a word of this server's list"
    assert [note for note in events[0].notes if note.startswith("safety")] == [line]
    panels = {e.panel: e for e in events if isinstance(e, PanelImage)}
    assert sorted(panels) == [0, 1]
    judged = load_classifier(served_repository / "artifacts", threads=1)
    for panel in panels.values():
        with Image.open(io.BytesIO(panel.png)) as image:
            wanted = float(judged([np.asarray(image.convert("RGB"))])[0])
        assert panel.safety_score == pytest.approx(wanted, abs=1e-4)
        assert panel.flagged is (wanted >= judged.info.threshold)
