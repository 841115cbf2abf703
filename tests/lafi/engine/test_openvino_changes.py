"""What OpenVINO is given instead of a file computes the same, and is what it is said to be."""

import gc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import openvino
import pytest
import torch
from denoiser_rows import random_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import lafi.engine.onnx.graph
from lafi.engine.onnx.engines import load_denoiser, load_reference_reader
from lafi.engine.onnx.openvino_changes import (
    VECTOR,
    change_graph,
    padded_texts,
    with_whole_vectors,
)
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.families.registry import input_ports
from lafi.model.graph_changes import GRAPH_CHANGES, GraphChange
from lafi.model.info import ModelInfo, load_model_info
from lafi.ports.engines import Denoiser, Engines, ReferenceBatch


@pytest.fixture(scope="module")
def artifacts(repository: Path) -> Path:
    return repository / "artifacts"


@pytest.fixture(scope="module")
def torch_engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@pytest.fixture(scope="module", params=[*((change,) for change in GRAPH_CHANGES), GRAPH_CHANGES])
def changed(request: pytest.FixtureRequest, artifacts: Path) -> Denoiser:
    """The denoiser with one change, and with all."""
    with pytest.MonkeyPatch.context() as patch:
        pin(patch, request.param)
        denoiser = load_denoiser(artifacts, "openvino", threads=1)
    gc.collect()
    return denoiser


def pin(patch: pytest.MonkeyPatch, changes: tuple[GraphChange, ...]) -> None:
    """Facts of models as if they had been exported with these changes."""

    def facts(folder: Path) -> ModelInfo:
        return load_model_info(folder).model_copy(update={"graph_changes": changes})

    patch.setattr(lafi.engine.onnx.graph, "load_model_info", facts)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 5),
    references=st.integers(1, 3),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
)
def test_a_changed_denoiser_is_torchs(
    changed: Denoiser,
    torch_engines: Engines,
    seed: int,
    rows: int,
    references: int,
    height: int,
    width: int,
) -> None:
    batch = random_rows(torch_engines.info, seed, rows, references, height, width)
    torch.testing.assert_close(changed(batch), torch_engines.denoiser(batch), atol=2e-5, rtol=0)


def test_a_changed_reference_reader_is_torchs(
    artifacts: Path, torch_engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(monkeypatch, GRAPH_CHANGES)
    reader = load_reference_reader(artifacts, "openvino", threads=1)
    rows = random_rows(torch_engines.info, 0, 2, 1, 2, 1)
    read_alone = {p.name for p in input_ports(torch_engines.info) if not p.reading}
    ports = {name: tensor for name, tensor in rows.ports.items() if name in read_alone}
    batch = ReferenceBatch(ports, rows["mask"])
    wanted_of = torch_engines.reference_reader
    assert wanted_of is not None
    for got, wanted in zip(reader(batch), wanted_of(batch), strict=True):
        for one, other in zip(
            (*got.keys, *got.values), (*wanted.keys, *wanted.values), strict=True
        ):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


def test_the_graph_has_what_the_changes_say(artifacts: Path) -> None:
    before, after = operators(artifacts, ()), operators(artifacts, GRAPH_CHANGES)
    norms_of_pictures = before["MVN"] - 3 * before["Split"]  # three of tokens in each block
    assert before["GroupConvolution"] == 0 < norms_of_pictures
    assert after["GroupConvolution"] == norms_of_pictures
    assert before["Split"] > 0 == after["Split"]
    assert after["MatMul"] == before["MatMul"] + before["Split"]


def operators(artifacts: Path, changes: tuple[GraphChange, ...]) -> Counter[str]:
    model = onnx.inliner.inline_local_functions(onnx.load(artifacts / "denoiser.onnx"))
    read = openvino.Core().read_model(model.SerializeToString())
    change_graph(read, changes)
    used: set[Any] = set()
    waiting = [result.input_value(0).get_node() for result in read.get_results()]
    while waiting:
        node = waiting.pop()
        if node.get_friendly_name() not in used:
            used.add(node.get_friendly_name())
            waiting += [given.get_node() for given in node.input_values()]
    return Counter(o.get_type_name() for o in read.get_ops() if o.get_friendly_name() in used)


def test_what_is_kept_compiled_is_kept_for_each_choice(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices: tuple[tuple[GraphChange, ...], ...] = ((), ("split_gates",), GRAPH_CHANGES)
    for made, changes in enumerate(choices, 1):
        pin(monkeypatch, changes)
        for _ in range(2):
            load_denoiser(artifacts, "openvino", threads=1, compiled=tmp_path)
            assert len([*tmp_path.iterdir()]) == made


TEXT_SHAPES = array_shapes(min_dims=2, max_dims=3, max_side=40)


@given(text=arrays(np.float32, TEXT_SHAPES, elements=st.floats(-1, 1, width=32)))
def test_texts_are_padded_to_whole_vectors_with_tokens_that_do_not_count(
    text: np.ndarray[Any, Any],
) -> None:
    rows, tokens = text.shape[:2]
    feed = {"text": text, "text_mask": np.ones((rows, tokens), np.float32), "latents": text}
    padded = {"text": (1, 0.0), "text_mask": (1, 0.0), "words": (1, -1.0)}
    got = with_whole_vectors(feed, padded)
    length = got["text"].shape[1]
    assert length % VECTOR == 0 <= length - tokens < VECTOR
    assert np.array_equal(got["text"][:, :tokens], text)
    assert not got["text"][:, tokens:].any()
    assert np.array_equal(got["text_mask"].sum(axis=1), [tokens] * rows)
    assert got["latents"] is text
    assert {*got} == {*feed}


def test_only_texts_whose_tokens_may_not_count_are_padded(torch_engines: Engines) -> None:
    info = torch_engines.info
    assert padded_texts(input_ports(info))["text_mask"] == (1, 0.0)
    assert padded_texts(input_ports(info.model_copy(update={"text_windows": 1}))) == {}
