"""Finished panels, enlarged: the pixels, what says so, and what stays as it was."""

import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lafi.drawing.pipeline
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.check import check_drawable
from lafi.drawing.enlarge import upscale_problems
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.upscaler import load_upscaler
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.info import RecogniserInfo
from lafi.model.upscaler_files import UpscalerInfo
from lafi.ports.engines import Engines
from lafi.wire.events import Event, PanelImage, Portrait, Waiting

BUNDLED = Path(__file__).parents[3] / "tiny_model/upscaler"
MIA = Character(name="mia", prompt="a child")
TWO = (Panel(prompt="{mia} is running"), Panel(prompt="the beach", upscale=2))


def board(*panels: Panel, **settings: Any) -> Storyboard:
    return Storyboard(
        width=32,
        height=48,
        sampling={"steps": 2, "guidance": 1.0},
        characters=(MIA,),
        panels=panels or TWO,
        **settings,
    )


class SeenSizes:
    """A recogniser that notes the sizes of the pictures that it is shown."""

    info = RecogniserInfo(side=32, width=2, threshold=0.5)
    sha256 = "ab" * 32

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, pictures: Any) -> np.ndarray:
        self.sizes += [picture.shape for picture in pictures]
        return np.tile(np.array([1, 0], np.float32), (len(pictures), 1))


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@pytest.fixture(scope="module")
def engines(plain: Engines) -> Engines:
    return replace(plain, upscaler=load_upscaler(BUNDLED, "onnxruntime", threads=1))


def panels(events: list[Event]) -> list[PanelImage]:
    return sorted((e for e in events if isinstance(e, PanelImage)), key=lambda e: e.panel)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def settings(panel: PanelImage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Image.open(io.BytesIO(panel.png)).text["lafi"])  # type: ignore[attr-defined]
    return found


def test_a_panel_is_what_the_network_makes_of_the_drawn_one(engines: Engines) -> None:
    drawn = panels(list(draw(board(*[p.model_copy(update={"upscale": 1}) for p in TWO]), engines)))
    large = panels(list(draw(board(upscale=4), engines)))
    assert engines.upscaler is not None
    for small, made, factor in zip(drawn, large, (4, 2), strict=True):
        expected = engines.upscaler(pixels(small.png)[None], factor)[0]
        np.testing.assert_array_equal(pixels(made.png), expected)
        assert expected.shape == (48 * factor, 32 * factor, 3)


def test_the_file_and_the_address_say_so(engines: Engines) -> None:
    drawn = panels(list(draw(board(TWO[0]), engines)))[0]
    large = panels(list(draw(board(TWO[0], upscale=4), engines)))[0]
    assert "upscale" not in settings(drawn)
    found = settings(large)
    (network,) = engines.upscaler.info.networks  # type: ignore[union-attr]
    assert found.pop("upscale") == {
        "factor": 4,
        "network": "realesr-animevideov3-x4",
        "sha256": network.sha256,
    }
    assert found["size"] == [32, 48]
    assert found["address"] == large.address != drawn.address
    assert found | {"address": drawn.address} == settings(drawn)


def test_scores_are_taken_on_what_was_drawn(engines: Engines) -> None:
    seen = [SeenSizes(), SeenSizes()]
    for recogniser, factor in zip(seen, (1, 4), strict=True):
        with_scores = replace(engines, recogniser=recogniser)
        (panel,) = panels(list(draw(board(TWO[0], upscale=factor), with_scores)))
        assert panel.scores == {"mia": 1.0}
    assert seen[0].sizes == seen[1].sizes
    assert (48, 32, 3) in seen[1].sizes


def test_portraits_stay_as_they_are_drawn(engines: Engines) -> None:
    portraits = [
        event.png
        for factor in (1, 4)
        for event in draw(board(TWO[0], upscale=factor), engines)
        if isinstance(event, Portrait)
    ]
    assert portraits[0] == portraits[1]


def test_a_stage_begins_with_an_earlier_panel_as_it_was_drawn(engines: Engines) -> None:
    second = Panel(prompt="b", sampling={"from": 0, "denoise": 0.5, "steps": 1}, upscale=1)
    made = [
        panels(list(draw(board(Panel(prompt="a", upscale=factor), second), engines)))[1]
        for factor in (1, 4)
    ]
    assert made[0].address == made[1].address
    np.testing.assert_array_equal(pixels(made[0].png), pixels(made[1].png))


def test_without_an_upscaler_it_is_refused_before_any_work(plain: Engines) -> None:
    asked = board(TWO[0], TWO[1], upscale=4)
    with pytest.raises(StoryboardError) as refused:
        next(draw(asked, plain))
    why = "allowed: 1: this model was exported without an upscaler; get one with: "
    assert list(refused.value.problems) == [
        f"upscale: got 4, {why}lafi export-upscaler SOURCE --out REPO",
        f"panels[1].upscale: got 2, {why}lafi export-upscaler SOURCE --out REPO",
    ]
    check_drawable(board(TWO[0]), {"": plain})


def test_a_factor_beyond_the_networks_is_refused(engines: Engines) -> None:
    assert engines.upscaler is not None
    (network,) = engines.upscaler.info.networks

    class Two:
        info = UpscalerInfo(networks=(network.model_copy(update={"factor": 2}),))

        def __call__(self, pictures: np.ndarray, factor: int) -> np.ndarray:
            raise AssertionError

    assert upscale_problems(board(TWO[1], upscale=4), Two()) == [
        "upscale: got 4, allowed: 1, 2, or a larger network: lafi export-upscaler SOURCE --out REPO"
    ]
    assert upscale_problems(board(TWO[1], upscale=2), Two()) == []


def test_a_slow_upscaler_is_no_silence(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """`waiting` comes while a panel is being enlarged, however long that takes."""
    monkeypatch.setattr(lafi.drawing.pipeline, "HEARTBEAT_SECONDS", 0.01)
    told = threading.Event()

    class Slow:
        info = engines.upscaler.info  # type: ignore[union-attr]

        def __call__(self, pictures: np.ndarray, factor: int) -> np.ndarray:
            assert told.wait(60)
            return pictures.repeat(factor, axis=1).repeat(factor, axis=2)

    events = []
    for event in draw(board(TWO[0], upscale=2), replace(engines, upscaler=Slow())):
        events.append(event)
        if isinstance(event, Waiting):
            told.set()
    assert Waiting(pictures=1) in events
    assert events[-1].kind == "finished"


def test_an_upscaler_that_fails_ends_the_storyboard(engines: Engines) -> None:
    class Broken:
        info = engines.upscaler.info  # type: ignore[union-attr]

        def __call__(self, pictures: np.ndarray, factor: int) -> np.ndarray:
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        list(draw(board(TWO[0], upscale=2), replace(engines, upscaler=Broken())))
