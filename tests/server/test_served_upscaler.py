"""The served model `upscaler`, called alone and by a storyboard."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.upscaler import TiledUpscaler, load_upscaler
from lafi.wire.events import PanelImage


def request(factor: int, rows: int = 1, height: int = 16, width: int = 24, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)
    return {"IMAGE": pixels, "FACTOR": np.full((rows, 1), factor, np.int32)}


@pytest.fixture(scope="module")
def upscaler(served_repository: Path) -> TiledUpscaler:
    found = load_upscaler(served_repository / "artifacts/upscaler", "onnxruntime", threads=1)
    assert found is not None
    return found


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_anyone_may_have_pictures_enlarged(
    caller: Any, upscaler: TiledUpscaler, factor: int
) -> None:
    given = request(factor, rows=2)
    answer = caller.infer("upscaler", given)
    assert answer["ENLARGED"].dtype == np.uint8
    np.testing.assert_array_equal(answer["ENLARGED"], upscaler(given["IMAGE"], factor))


def test_a_large_picture_comes_back_without_a_seam(caller: Any, upscaler: TiledUpscaler) -> None:
    given = request(4, height=48, width=310)
    answer = caller.infer("upscaler", given)["ENLARGED"].astype(int)
    whole = upscaler._run(given["IMAGE"], 4).astype(int)
    assert np.abs(answer - whole).max() <= 1


def test_callers_at_the_same_time_each_get_their_own_answer(
    caller: Any, upscaler: TiledUpscaler
) -> None:
    requests = [request(2 + seed % 3, seed=seed) for seed in range(9)]
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda given: caller.infer("upscaler", given), requests))
    for given, answer in zip(requests, answers, strict=True):
        expected = upscaler(given["IMAGE"], int(given["FACTOR"][0, 0])).astype(int)
        assert np.abs(answer["ENLARGED"] - expected).max() <= 1


BAD: Mapping[str, tuple[Any, str]] = {
    "factor": (request(5), "FACTOR: got 5, allowed: 2, 3, 4"),
    "size": (request(2, width=7), "IMAGE: got width 7, allowed: 8 to 2048"),
    "rows": (request(2, rows=9), "allowed: a batch of at most 8"),
    "dtype": (
        {"IMAGE": np.zeros((1, 8, 8, 3), np.float32), "FACTOR": np.full((1, 1), 2, np.int32)},
        "IMAGE: got datatype 'FP32', allowed: UINT8",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_gets_a_clear_error(caller: Any, name: str) -> None:
    given, text = BAD[name]
    with pytest.raises(InferenceServerException, match=text):
        caller.infer("upscaler", given)
    assert caller.infer("upscaler", request(2))["ENLARGED"].shape == (1, 32, 48, 3)


def test_a_storyboard_gives_the_files_that_one_process_gives(
    caller: Any, served_repository: Path
) -> None:
    board = Storyboard(
        width=32,
        height=48,
        sampling={"steps": 2},
        upscale=4,
        characters=(Character(name="mia", prompt="a child"),),
        panels=(
            Panel(prompt="{mia} is running"),
            Panel(prompt="the beach", upscale=3),
            Panel(prompt="the beach", upscale=1),
        ),
    )
    engines = load_onnx_engines(served_repository / "artifacts", "onnxruntime", "f32", 1)
    expected = {e.panel: e for e in draw(board, engines) if isinstance(e, PanelImage)}
    answers = {e.panel: e for e in caller.draw(board) if isinstance(e, PanelImage)}
    assert len(answers) == 3
    for number, event in answers.items():
        assert event.address == expected[number].address
        assert event.png == expected[number].png
