"""A model with all that steers panels beside words, served: the bytes of one process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from steered_boards import coarse_blocks, png

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage

# The first of these tests may export the model.
pytestmark = pytest.mark.timeout(900)
SEEN: dict[str, Any] = {"image": png(coarse_blocks(1, 4, (32, 32)))}
ADAPTER, NETWORK = {"kind": "ink", **SEEN}, {"kind": "pose", **SEEN}
PANELS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "adapter": {"control": [ADAPTER]},
    "network": {"control": [NETWORK]},
    "picture": {"picture_prompts": [SEEN]},
    "all": {
        "control": [ADAPTER | {"region": [0, 0, 0.5, 1]}, NETWORK | {"strength": 0.5}],
        "picture_prompts": [SEEN, {"character": "mia", "strength": 0.5}],
    },
}
BOARD = Storyboard(
    width=32,
    height=32,
    sampling={"steps": 2},
    injection={"layers": "balanced", "end": 1.0},
    characters=[Character(name="mia", prompt="a child")],
    panels=[Panel(prompt="{mia} is running", seed=3, **fields) for fields in PANELS.values()],
)


@pytest.fixture(scope="module")
def url(steered_repository: Path) -> Iterator[str]:
    with Supervisor(steered_repository, threads=1) as server:
        yield server.grpc_url


def answers(url: str, story_stream: Any, board: Storyboard) -> list[Any]:
    stream = story_stream(url)
    try:
        stream.send(storyboard_to_tensors(board))
        return list(stream.answers(seconds=240))
    finally:
        stream.close()


def panels_of(events: list[Any]) -> dict[int, tuple[bytes, str]]:
    """PNG file and content address."""
    assert isinstance(events[-1], Finished), events[-1]
    return {e.panel: (e.png, e.address) for e in events if isinstance(e, PanelImage)}


def test_each_panel_has_the_bytes_of_one_process(
    url: str, steered_repository: Path, story_stream: Any
) -> None:
    served = panels_of(answers(url, story_stream, BOARD))
    torch.set_num_threads(1)
    engines = load_onnx_engines(steered_repository / "artifacts", "onnxruntime", "f32", 1)
    assert served == panels_of(list(draw(BOARD, engines)))
    assert len({png for png, _ in served.values()}) == len(PANELS)


def test_an_unknown_kind_is_refused_with_those_that_are_there(url: str, story_stream: Any) -> None:
    panel = Panel(prompt="a child", control=[ADAPTER | {"kind": "inc"}])
    (error,) = answers(url, story_stream, BOARD.model_copy(update={"panels": (panel,)}))
    assert error.startswith("INVALID_ARGUMENT: panels[0].control[0].kind: got 'inc', ")
    assert "allowed: pose, ink (did you mean ink?)" in error
