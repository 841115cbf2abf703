"""A model with variants, served: each draws its own pixels, and those of one process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.model.info import variant_folder
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage

VARIANTS = ("", "ink", "mia")
# The first of these tests exports the model and its variants.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


def board(variant: str) -> Storyboard:
    """One panel that reads a portrait, with the word that only `mia` knows."""
    return Storyboard(
        variant=variant,
        width=32,
        height=32,
        sampling={"steps": 2},
        injection={"layers": "all", "end": 1.0},
        characters=[Character(name="mia", prompt="a child")],
        panels=[Panel(prompt="{mia}, <mia>, is running", seed=3)],
    )


@pytest.fixture(scope="module")
def variant_server(varied_repository: Path) -> Iterator[Supervisor]:
    with Supervisor(varied_repository, threads=1, startup_seconds=600) as running:
        yield running


def answers(server: Supervisor, story_stream: Any, variant: str) -> list[Any]:
    stream = story_stream(server.grpc_url)
    try:
        stream.send(storyboard_to_tensors(board(variant)))
        return list(stream.answers(seconds=240))
    finally:
        stream.close()


def panel_of(events: list[Any]) -> PanelImage:
    assert isinstance(events[-1], Finished), events[-1]
    (panel,) = (event for event in events if isinstance(event, PanelImage))
    return panel


def test_each_variant_draws_the_bytes_of_one_process(
    variant_server: Supervisor, varied_repository: Path, story_stream: Any
) -> None:
    assert "text_encoder_mia" in variant_server.models
    assert "text_encoder_ink" not in variant_server.models
    artifacts = varied_repository / "artifacts"
    panels = {}
    for name in VARIANTS:
        panels[name] = panel_of(answers(variant_server, story_stream, name))
        folder = variant_folder(artifacts, name) if name else artifacts
        engines = load_onnx_engines(folder, "onnxruntime", "f32", 1)
        expected = panel_of(list(draw(board(name), engines)))
        assert panels[name].png == expected.png
        assert panels[name].address == expected.address
    assert len({panel.png for panel in panels.values()}) == 3
    assert len({panel.address for panel in panels.values()}) == 3


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(
    variant_server: Supervisor, story_stream: Any
) -> None:
    (error,) = answers(variant_server, story_stream, "inc")
    assert error.startswith("INVALID_ARGUMENT: variant: got 'inc', allowed: ink, mia")
