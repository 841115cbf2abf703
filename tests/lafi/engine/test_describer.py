"""Descriptions of characters as embeddings, without torch."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lafi.engine.onnx import describer as module
from lafi.engine.onnx.describer import (
    DESCRIBER_FILES,
    Describer,
    exported_describer,
    load_describer,
)
from lafi.engine.onnx.recogniser import exported_recogniser
from lafi.model.artifacts import ArtifactsError
from lafi.model.info import DescriberInfo, ModelInfo
from lafi.model.recogniser_files import DESCRIBER, read_recogniser_info
from lafi.serving.remote_recogniser import RemoteRecogniser
from lafi_export.recogniser_files import add_recogniser

BUNDLED = Path(__file__).parents[3] / "tiny_model" / "weights" / "tokenizer"


@pytest.fixture(scope="module")
def describer(describer_folder: Path) -> Describer:
    return load_describer(describer_folder, read_recogniser_info(describer_folder), threads=1)


WORDS = st.lists(st.sampled_from(("a", "child", "red", "blue", "top", "unknown")), max_size=12)


@settings(deadline=None, max_examples=30)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=5))
def test_a_text_has_the_same_unit_row_in_any_company(
    describer: Describer, texts: list[str]
) -> None:
    together = describer(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(describer([text])[0], row, atol=1e-6)


def test_what_does_not_fit_is_cut_off(describer: Describer) -> None:
    seven = "a child with red hair a top"
    np.testing.assert_array_equal(describer([seven]), describer([seven + " blue blue"]))
    assert np.abs(describer([seven]) - describer(["a child with blue hair a top"])).max() > 0.01


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80))
def test_tokens_are_those_of_the_tokenizer_that_it_was_trained_with(text: str) -> None:
    trained = CLIPTokenizer.from_pretrained(BUNDLED)
    length = trained.model_max_length
    info = DescriberInfo(length=length, weight=0.5)
    found = module._tokenizer(BUNDLED / "tokenizer.json", info).encode(text).ids
    expected = trained(text, padding="max_length", max_length=length, truncation=True).input_ids
    assert found == expected


def test_what_is_missing_is_named(
    describer_folder: Path, recogniser_folder: Path, tmp_path: Path
) -> None:
    plain = read_recogniser_info(recogniser_folder)
    with pytest.raises(ArtifactsError, match="got a recogniser without a text tower"):
        load_describer(recogniser_folder, plain)
    info = read_recogniser_info(describer_folder)
    for name in DESCRIBER_FILES:
        folder = tmp_path / name
        shutil.copytree(describer_folder, folder)
        (folder / name).unlink()
        with pytest.raises(ArtifactsError, match=f"{name}: no such file"):
            load_describer(folder, info)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 9}, r"describer.onnx: got shape \(2, 8\), allowed \(B, 9\)"),
        ({}, "got a tokenizer without"),
    ],
)
def test_a_tower_that_does_not_fit_is_refused(
    describer_folder: Path, tmp_path: Path, change: dict[str, int], message: str
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(describer_folder, folder)
    if not change:
        path = folder / "tokenizer.json"
        text = path.read_text(encoding="utf-8").replace("<|endoftext|>", "<end>")
        path.write_text(text, encoding="utf-8")
    facts = json.loads((folder / "recogniser.json").read_text(encoding="utf-8")) | change
    (folder / "recogniser.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ArtifactsError, match=message):
        load_describer(folder, read_recogniser_info(folder))


def test_an_exported_model_has_the_tower_of_its_recogniser(
    describer_folder: Path, recogniser_folder: Path, small_model: ModelInfo, tmp_path: Path
) -> None:
    described, plain = tmp_path / "described", tmp_path / "plain"
    for folder in (described, plain):
        folder.mkdir()
    info = add_recogniser(describer_folder, described, small_model)
    found = exported_describer(described, info, threads=1)
    assert found is not None
    assert found(["a child"]).shape == (1, 8)
    (described / "recogniser" / "describer.onnx").write_bytes(b"changed")
    with pytest.raises(ArtifactsError, match="got SHA-256"):
        exported_describer(described, info)
    assert exported_describer(plain, add_recogniser(recogniser_folder, plain, small_model)) is None


def test_who_enrols_and_who_identifies_agree_on_whose_words_they_are(
    describer_folder: Path, small_model: ModelInfo, tmp_path: Path
) -> None:
    # One knows the exported facts, the other has loaded the files.
    info = add_recogniser(describer_folder, tmp_path, small_model)
    loaded = exported_recogniser(tmp_path, info, threads=1)
    told = RemoteRecogniser(info, lambda name, inputs: {})
    assert loaded.info.sha256[DESCRIBER] == told.info.sha256[DESCRIBER]
    assert len(loaded.info.sha256[DESCRIBER]) == 64
