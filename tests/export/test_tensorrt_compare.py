"""An engine that disagrees with its ONNX file is refused; another ONNX file stands for it here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

from lafi.model.engine_metadata import EngineMetadata, Shape, ShapeRange
from lafi.model.families.registry import input_ports
from lafi_export.tensorrt_compare import (
    TOLERANCES,
    Feed,
    check_engine,
    compare_runs,
    sample_feeds,
)
from lafi_export.tensorrt_graph import GraphError
from lafi_export.tensorrt_plan import BuildError
from model_infos import attention_sites, model_info

HEAD = '<ir_version: 10, opset_import: ["": 18]> g '
PROFILE = {"x": ((1, 3), (4, 3))}


def metadata_of(profile: Mapping[str, tuple[Shape, Shape]], precision: str) -> EngineMetadata:
    return EngineMetadata(
        plan="encoder.plan",
        plan_sha256="0" * 64,
        onnx_sha256="1" * 64,
        weights_sha256="2" * 64,
        gpu="NVIDIA H200",
        capability="9.0",
        tensorrt="11.4.0.106",
        precision=precision,
        profile={
            name: ShapeRange(smallest=smallest, tuned=smallest, largest=largest)
            for name, (smallest, largest) in profile.items()
        },
        attention_plugins=0,
    )


def scaling(folder: Path, factor: str) -> Path:
    """y = factor x, z = -x."""
    text = "(float[N, 3] x) => (float[N, 3] y, float[N, 3] z) "
    body = f"{{ f = Constant <value = float {{{factor}}}> () y = Mul(x, f) z = Neg(x) }}"
    path = folder / f"scale_{factor}.onnx"
    onnx.save(onnx.parser.parse_model(HEAD + text + body), path)
    return path


def ones(rows: int = 2) -> Feed:
    return {"x": np.ones((rows, 3), np.float32)}


def compared(folder: Path, factor: str, precision: str, feeds: list[Feed]) -> None:
    engine = OnnxrtRunner(SessionFromOnnx(str(scaling(folder, factor))), name="tensorrt")
    compare_runs(scaling(folder, "1.0"), engine, metadata_of(PROFILE, precision), feeds)


@pytest.mark.parametrize(("precision", "factor"), [("f16", "1.015"), ("f32", "1.005")])
def test_rounding_is_allowed(tmp_path: Path, precision: str, factor: str) -> None:
    compared(tmp_path, factor, precision, [ones(), ones(4)])
    assert 1 + TOLERANCES[precision] > float(factor)


@pytest.mark.parametrize(
    ("precision", "factor", "said"),
    [
        ("f16", "1.05", r"allowed 0\.02 in f16, absolute or relative"),
        ("f32", "1.015", r"allowed 0\.01 in f32, absolute or relative"),
    ],
)
def test_more_is_refused(tmp_path: Path, precision: str, factor: str, said: str) -> None:
    with pytest.raises(BuildError, match=said) as caught:
        compared(tmp_path, factor, precision, [ones()])
    # It names the plan and the output that is off, not the one that agrees.
    assert str(caught.value).startswith("encoder.plan: got y off by 0.0")
    assert "z off" not in str(caught.value)
    assert "than scale_1.0.onnx gives" in str(caught.value)


def test_one_bad_feed_is_enough(tmp_path: Path) -> None:
    nothing: Feed = {"x": np.zeros((1, 3), np.float32)}
    compared(tmp_path, "9.0", "f16", [nothing])
    with pytest.raises(BuildError, match=r"y off by 8\.0"):
        compared(tmp_path, "9.0", "f16", [nothing, ones()])


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    large: Feed = {"x": np.full((1, 3), 1e38, np.float32)}
    with pytest.raises(BuildError, match=r"encoder\.plan: got values that are not finite"):
        compared(tmp_path, "1000.0", "f16", [large])


def test_a_feed_outside_the_profile(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"):
        compared(tmp_path, "1.0", "f16", [ones(5)])


def test_feeds_of_a_denoiser() -> None:
    profile: dict[str, tuple[Shape, Shape]] = {
        "latents": ((1, 4, 8, 8), (20, 4, 16, 16)),
        "timesteps": ((1,), (20,)),
        "routes": ((7, 1, 1), (7, 16, 4)),
        "mask": ((1, 8, 8), (20, 16, 16)),
        "words": ((1, 3), (20, 3)),
        "bank_mask": ((1, 4, 4), (8, 16, 16)),
    }
    metadata = metadata_of(profile, "f16")
    plain, routed = sample_feeds(metadata, vocabulary=9, ports=input_ports(INFO))
    for feed in (plain, routed):
        metadata.check_shapes({name: values.shape for name, values in feed.items()})
        assert feed["latents"].shape == (2, 4, 8, 8)
        assert feed["routes"].dtype == np.int32
        assert feed["bank_mask"].shape == (1, 4, 4)
        assert 0 <= feed["mask"].min() <= feed["mask"].max() <= 1
    assert plain["routes"].max() == -1
    assert routed["routes"].tolist() == [[[1], [0]]] * 7
    assert plain["words"].max() == -1
    assert routed["words"].tolist() == [[-1, 0, 0]] * 2
    assert plain["latents"] is routed["latents"]


def test_feeds_of_what_reads_references() -> None:
    profile: dict[str, tuple[Shape, Shape]] = {
        "latents": ((1, 4, 8, 8), (8, 4, 16, 16)),
        "timesteps": ((1,), (8,)),
        "text": ((1, 7, 1), (8, 7, 1)),
    }
    metadata = metadata_of(profile, "f16")
    (feed,) = sample_feeds(metadata, vocabulary=9, ports=input_ports(INFO))
    metadata.check_shapes({name: values.shape for name, values in feed.items()})
    assert {name: len(values) for name, values in feed.items()} == dict.fromkeys(profile, 2)
    assert feed["timesteps"].min() > 100
    assert np.abs(feed["latents"][0] - feed["latents"][1]).max() > 1


@pytest.mark.parametrize(("smallest", "largest", "rows"), [(1, 1, 1), (1, 9, 2), (4, 9, 4)])
def test_rows_that_there_are_engines_for(smallest: int, largest: int, rows: int) -> None:
    metadata = metadata_of({"TOKEN_IDS": ((smallest, 7), (largest, 7))}, "f16")
    (feed,) = sample_feeds(metadata, vocabulary=9, ports=input_ports(INFO))
    assert feed["TOKEN_IDS"].shape == (rows, 7)
    assert feed["TOKEN_IDS"].dtype == np.int64
    assert 0 <= feed["TOKEN_IDS"].min() <= feed["TOKEN_IDS"].max() < 9


INFO = model_info(
    vae_scale=4,
    text_length=7,
    text_width=1,
    layers=attention_sites(block="mid", heads=2, width=16),
    weights_sha256="ab" * 32,
)


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """An exported text encoder, whose plan has other names, and its tokenizer of nine ids."""
    text = "(int64[N, 7] token_ids) => (float[N, 7] hidden) { hidden = Cast <to = 1> (token_ids) }"
    onnx.save(onnx.parser.parse_model(HEAD + text), tmp_path / "encoder.onnx")
    INFO.save(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    vocabulary = {str(i): i for i in range(9)}
    (tmp_path / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (tmp_path / "tokenizer" / "merges.txt").touch()
    return tmp_path


def test_the_exported_file_is_compared_under_the_plans_names(artifacts: Path) -> None:
    metadata = metadata_of({"TOKEN_IDS": ((1, 7), (4, 7))}, "f16")
    seen: list[Any] = []

    def compare(graph: Path, plan: Path, metadata: EngineMetadata, feeds: list[Feed]) -> None:
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        assert [output.name for output in session.get_outputs()] == ["TEXT"]
        (out,) = session.run(None, feeds[0])
        assert np.array_equal(out, feeds[0]["TOKEN_IDS"])
        assert out.max() < 9
        # The weights of a large graph lie beside it.
        assert graph.parent == plan.parent == artifacts
        seen.append((plan.name, graph))

    names = {"token_ids": "TOKEN_IDS", "hidden": "TEXT"}
    check_engine(artifacts / "encoder.onnx", names, metadata, compare=compare)
    ((plan, graph),) = seen
    assert plan == "encoder.plan"
    assert not graph.exists()
    unchanged = metadata_of({"token_ids": ((1, 7), (4, 7))}, "f16")
    check_engine(
        artifacts / "encoder.onnx", {}, unchanged, compare=lambda *given: seen.append(given)
    )
    assert seen[1][0] == artifacts / "encoder.onnx"


def test_names_that_the_file_does_not_have(artifacts: Path) -> None:
    metadata = metadata_of({"TOKEN_IDS": ((1, 7), (4, 7))}, "f16")
    with pytest.raises(GraphError, match=r"names: got ids, allowed hidden, token_ids"):
        check_engine(artifacts / "encoder.onnx", {"ids": "TOKEN_IDS"}, metadata)
