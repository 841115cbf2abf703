"""SDXL from a checkpoint to pictures: exported, served, and the same as in one process."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc as grpcclient

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import Engines
from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage
from lafi_export import export_checkpoint

BOARD = Storyboard(
    width=96,
    height=64,
    sampling={"steps": 3},
    injection={"layers": "balanced", "end": 1.0},
    characters=[Character(name="mia", prompt="a girl with red hair")],
    panels=[
        Panel(prompt="{mia} is running", seed=1),
        Panel(prompt="{mia} sits", seed=2, negative_prompt="night"),
    ],
)


@pytest.fixture(scope="module")
def exported(
    small_checkpoints: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A small SDXL, every engine compared with torch in both runtimes."""
    out = tmp_path_factory.mktemp("sdxl") / "repository"
    report = export_checkpoint(small_checkpoints("sdxl"), out, runtime="onnxruntime", threads=1)
    assert {row.engine for row in report.engines if "pooled" in row.case} == {"text_encoder"}
    return out


@pytest.fixture(scope="module")
def engines(exported: Path) -> Engines:
    return load_onnx_engines(exported / "artifacts", "onnxruntime", "f32", 1)


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
    url: str, engines: Engines, story_stream: Any
) -> None:
    stream = story_stream(url)
    try:
        stream.send(storyboard_to_tensors(BOARD))
        served = panels_of(list(stream.answers(seconds=600)))
    finally:
        stream.close()
    torch.set_num_threads(1)
    assert served == panels_of(list(draw(BOARD, engines)))
    assert served[0] != served[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_served_text_encoder_gives_text_and_pooled(url: str, engines: Engines) -> None:
    ids = torch.from_numpy(engines.prompts.token_ids(["a child", "a night"]))
    assert ids.shape == (2, 2, 77)
    given = grpcclient.InferInput("TOKEN_IDS", list(ids.shape), "INT64")
    given.set_data_from_numpy(ids.numpy())
    with grpcclient.InferenceServerClient(url) as client:
        answer = client.infer("text_encoder", [given])
    expected = engines.text_encoder(ids)
    np.testing.assert_array_equal(answer.as_numpy("TEXT"), expected["text"].numpy())
    np.testing.assert_array_equal(answer.as_numpy("POOLED"), expected["pooled"].numpy())
