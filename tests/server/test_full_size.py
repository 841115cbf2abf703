"""SD1.5's architecture at full size: random weights, export, Triton Server, a storyboard."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lafi.board.image_file import read_header
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage
from lafi_export.command import export_command
from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.single_file import SingleFile

SIDE = 128


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_full_size_checkpoint_is_exported_and_draws(tmp_path: Path, story_stream: Any) -> None:
    random_checkpoint("sd15", tmp_path / "sd15", dtype=torch.float16)
    repository = tmp_path / "repository"
    assert export_command(SingleFile(tmp_path / "sd15"), repository, runtime="onnxruntime") == 0
    board = Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": 2},
        injection={"layers": "balanced", "end": 1.0},
        characters=[Character(name="mia", prompt="a girl with red hair")],
        panels=[Panel(prompt="{mia} is running", seed=1), Panel(prompt="{mia} sits", seed=2)],
    )
    with Supervisor(repository, startup_seconds=1800) as server:
        stream = story_stream(server.grpc_url)
        try:
            stream.send(storyboard_to_tensors(board))
            events = list(stream.answers(seconds=1800))
        finally:
            stream.close()
    assert isinstance(events[-1], Finished), events[-1]
    panels = [event for event in events if isinstance(event, PanelImage)]
    assert sorted(event.panel for event in panels) == [0, 1]
    for event in panels:
        header = read_header(event.png)
        assert (header.width, header.height) == (SIDE, SIDE)
    assert panels[0].png != panels[1].png
