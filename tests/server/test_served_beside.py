"""Two models of different families in one repository: one draws a panel, the other refines it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.model.info import load_variant_infos, variant_folder
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Finished, PanelImage, Preview, Progress
from lafi_export import export_checkpoint
from lafi_export.parity_report import PARITY_FILE, ParityReport

# The first of these tests exports both models.
pytestmark = [pytest.mark.timeout(2400), pytest.mark.slow]


def board(upscale: str = "pixels", variant: str = "paint") -> Storyboard:
    """A portrait and a panel that reads it, in both models."""
    return Storyboard(
        width=64,
        height=64,
        stage_previews=True,
        sampling={
            "stages": [
                {"size": 0.5, "steps": 2},
                {
                    "steps": 2,
                    "denoise": 0.5,
                    "guidance": 1.0,
                    "variant": variant,
                    "upscale": upscale,
                },
            ]
        },
        injection={"layers": "all", "end": 1.0},
        characters=[Character(name="mia", prompt="a child")],
        panels=[Panel(prompt="{mia} is running", seed=3)],
    )


@pytest.fixture(scope="module")
def both(
    checkpoint: Path,
    small_checkpoints: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("both") / "repository"
    others = {"paint": small_checkpoints("zimage")}
    export_checkpoint(checkpoint, out, runtime="onnxruntime", beside=others, threads=1)
    return out


@pytest.fixture(scope="module")
def server(both: Path) -> Iterator[Supervisor]:
    with Supervisor(both, threads=1, startup_seconds=600) as running:
        yield running


def answers(server: Supervisor, story_stream: Any, asked: Storyboard) -> list[Any]:
    stream = story_stream(server.grpc_url)
    try:
        stream.send(storyboard_to_tensors(asked))
        return list(stream.answers(seconds=600))
    finally:
        stream.close()


def panel_of(events: list[Any]) -> PanelImage:
    assert isinstance(events[-1], Finished), events[-1]
    (panel,) = (event for event in events if isinstance(event, PanelImage))
    return panel


def test_the_other_model_is_whole_and_compared_with_torch(both: Path) -> None:
    (info,) = load_variant_infos(both / "artifacts")
    assert (info.variant, info.family, info.beside) == ("paint", "zimage", True)
    report = (variant_folder(both / "artifacts", "paint") / PARITY_FILE).read_bytes()
    assert ParityReport.model_validate_json(report).passed


def test_the_server_draws_the_bytes_of_one_process(
    server: Supervisor, both: Path, story_stream: Any
) -> None:
    assert {"vae_encoder_paint", "vae_decoder_paint", "text_encoder_paint"} <= {*server.models}
    events = answers(server, story_stream, board())
    folders = {
        "": both / "artifacts",
        "paint": variant_folder(both / "artifacts", "paint"),
    }
    engines = {n: load_onnx_engines(f, "onnxruntime", "f32", 1) for n, f in folders.items()}
    here = list(draw(board(), engines))
    assert panel_of(events).png == panel_of(here).png
    assert panel_of(events).address == panel_of(here).address
    steps = [e for e in events if isinstance(e, Progress) and e.panel == 0]
    assert [(e.stage, e.stages) for e in steps] == [(1, 2), (1, 2), (2, 2), (2, 2)]
    (preview,) = (e.png for e in events if isinstance(e, Preview))
    assert preview == next(e.png for e in here if isinstance(e, Preview))


def test_latents_do_not_go_from_one_family_to_the_other(
    server: Supervisor, story_stream: Any
) -> None:
    (error,) = answers(server, story_stream, board("bicubic"))
    assert error.startswith(
        "INVALID_ARGUMENT: panels[0].sampling.stages[1].upscale: got 'bicubic', allowed: pixels: "
    )


def test_a_model_that_is_not_there_is_refused_with_those_that_are(
    server: Supervisor, story_stream: Any
) -> None:
    (error,) = answers(server, story_stream, board(variant="oil"))
    assert "variant: got 'oil', allowed: paint" in error
