"""The recogniser's network: any picture in, an embedding of unit length out."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.letterbox import fit_pixels
from lafi.engine.onnx.recogniser import (
    MAX_BATCH,
    OnnxRecogniser,
    exported_recogniser,
    load_recogniser,
)
from lafi.model.artifacts import ArtifactsError, file_sha256
from lafi.model.info import ModelInfo
from lafi.model.recogniser_files import FILES
from lafi.ports.recogniser import letterboxed_row
from lafi.serving.remote_recogniser import RemoteRecogniser


@pytest.fixture(scope="module")
def recogniser(recogniser_folder: Path) -> OnnxRecogniser:
    return load_recogniser(recogniser_folder, threads=1)


def picture(seed: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=20))
def test_pictures_of_all_sizes_get_what_they_get_alone(
    recogniser: OnnxRecogniser, sizes: list[tuple[int, int]]
) -> None:
    pictures = [picture(seed, size) for seed, size in enumerate(sizes)]
    together = recogniser(pictures)
    assert together.shape == (len(sizes), 8)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for row, each in zip(together, pictures, strict=True):
        np.testing.assert_allclose(recogniser([each])[0], row, atol=1e-6)


def test_a_call_of_the_network_is_bounded(recogniser: OnnxRecogniser) -> None:
    calls: list[int] = []

    def run(feed: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        calls.append(len(feed["image"]))
        return (recogniser.embed(feed["image"]),)

    OnnxRecogniser(run, recogniser.info, "")([picture(seed) for seed in range(MAX_BATCH + 3)])
    assert calls == [MAX_BATCH, 3]


def test_letterboxing_what_has_the_size_changes_nothing() -> None:
    square = fit_pixels(picture(0), 16, 16)
    assert fit_pixels(square, 16, 16) is square


def test_a_served_recogniser_gives_the_same_embeddings(
    recogniser: OnnxRecogniser, recogniser_folder: Path, small_model: ModelInfo
) -> None:
    sizes: list[tuple[int, ...]] = []

    def infer(model: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        assert model == "identity"
        sizes.append(inputs["IMAGE"].shape)
        side = recogniser.info.side
        rows = np.stack([letterboxed_row(data, side) for (data,) in inputs["IMAGE"]])
        return {"EMBEDDING": recogniser.embed(rows)}

    hashes = {name: file_sha256(recogniser_folder / name) for name in FILES}
    facts = recogniser.info.model_copy(update={"sha256": hashes})
    remote = RemoteRecogniser(small_model.model_copy(update={"recogniser": facts}), infer)
    pictures = [picture(seed, (10 + seed, 40)) for seed in range(18)]
    np.testing.assert_allclose(remote(pictures), recogniser(pictures), atol=1e-6)
    assert sizes == [(16, 1), (2, 1)]
    assert remote.sha256 == recogniser.sha256


def test_what_the_file_says_besides_is_left_there(recogniser: OnnxRecogniser) -> None:
    assert recogniser.info.model_dump() == {
        "side": 16,
        "width": 8,
        "threshold": 0.9,
        "describer": None,
        "sha256": {},
    }


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _saying(**facts: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "recogniser.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("student.onnx"), "student.onnx: no such file"),
        (_without("recogniser.json"), "recogniser.json: no such file"),
        (_saying(side=0), "side"),
        (_saying(threshold="high"), "threshold"),
        (_saying(width=9), r"embedding: got shape \(2, 8\), allowed \(B, 9\)"),
        (_saying(side=32), r"allowed image \(B, 3, 32, 32\) -> embedding \(B, 8\)"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    recogniser_folder: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "recogniser"
    shutil.copytree(recogniser_folder, folder)
    change(folder)
    with pytest.raises(ArtifactsError, match=message):
        load_recogniser(folder)


def test_embeddings_that_are_not_of_unit_length_are_refused(recogniser: OnnxRecogniser) -> None:
    def run(feed: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (np.full((len(feed["image"]), 8), np.nan, np.float32),)

    with pytest.raises(ArtifactsError, match="got lengths"):
        OnnxRecogniser(run, recogniser.info, "")([picture(0)])


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_of_an_export_is_refused(
    recogniser_folder: Path, small_model: ModelInfo, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "recogniser"
    shutil.copytree(recogniser_folder, folder)
    with pytest.raises(ArtifactsError, match="small: got no recogniser, allowed one"):
        exported_recogniser(tmp_path, small_model)
    hashes = {file: file_sha256(folder / file) for file in FILES}
    facts = load_recogniser(folder).info.model_copy(update={"sha256": hashes})
    info = small_model.model_copy(update={"recogniser": facts})
    loaded = exported_recogniser(tmp_path, info)
    assert loaded.sha256 == hashes["student.onnx"]
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ArtifactsError, match=f"{name}: got SHA-256"):
        exported_recogniser(tmp_path, info)
