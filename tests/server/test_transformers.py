"""Transformers from a checkpoint to pictures: exported, served, and the same as in one process."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage
from lafi_export import export_checkpoint

# Mixed in one batch: panels with and without a reference, texts of different lengths.
BOARD = Storyboard(
    width=96,
    height=64,
    sampling={"steps": 3, "guidance": 3.0},
    injection={"layers": "all", "end": 1.0},
    characters=[Character(name="mia", prompt="a girl with red hair")],
    panels=[
        Panel(prompt="{mia} is running", seed=1),
        Panel(prompt="rain falls on the roofs of the town, all night long", seed=2),
    ],
)


@pytest.fixture(scope="module", params=["zimage", "flux", "sd3", "pixart", "hunyuan"])
def exported(
    request: pytest.FixtureRequest,
    small_checkpoints: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A small checkpoint, every engine and whole panels compared with torch in both runtimes."""
    out = tmp_path_factory.mktemp(request.param) / "repository"
    export_checkpoint(small_checkpoints(request.param), out, runtime="onnxruntime", threads=1)
    return out


@pytest.fixture(scope="module")
def url(exported: Path) -> Iterator[str]:
    with Supervisor(exported, threads=1, exposure=OPEN_PARTS) as server:
        yield server.grpc_url


def panels_of(events: list[Any]) -> dict[int, bytes]:
    assert isinstance(events[-1], Finished), events[-1]
    return {event.panel: event.png for event in events if isinstance(event, PanelImage)}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_server_draws_the_bytes_of_one_process(
    url: str, exported: Path, story_stream: Any
) -> None:
    stream = story_stream(url)
    try:
        stream.send(storyboard_to_tensors(BOARD))
        served = panels_of(list(stream.answers(seconds=600)))
    finally:
        stream.close()
    torch.set_num_threads(1)
    engines = load_onnx_engines(exported / "artifacts", "onnxruntime", "f32", 1)
    assert served == panels_of(list(draw(BOARD, engines)))
    injection = BOARD.injection.model_copy(update={"layers": "none"})
    unread = panels_of(list(draw(BOARD.model_copy(update={"injection": injection}), engines)))
    with_reference, without = (apart(served[panel], unread[panel]) for panel in (0, 1))
    assert without <= 2 < with_reference


def apart(one: bytes, other: bytes) -> int:
    """The largest difference of two PNGs in any pixel, of 255."""
    pixels = (np.asarray(Image.open(io.BytesIO(png)), dtype=np.int16) for png in (one, other))
    return int(np.abs(np.subtract(*pixels)).max())
