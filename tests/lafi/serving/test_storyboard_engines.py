"""Engines of the storyboard model: which are shared, whom they call, and the hook for a GPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

import lafi.engine.tensorrt.engines
from lafi.engine.cuda.machine import GpuMissing
from lafi.engine.onnx.graph import load_graph
from lafi.engine.tensorrt.engines import PLANS
from lafi.model.artifacts import (
    DENOISER,
    FILES,
    REFERENCE,
    TEXT_ENCODER,
    ArtifactsError,
    file_sha256,
)
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, ShapeRange
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo, load_model_info, variant_folder
from lafi.ports.bank_entry import BankEntry
from lafi.ports.engines import Denoiser, DenoiserBatch, Engines, ReferenceBatch, ReferenceReader
from lafi.serving.storyboard_engines import load_storyboard_engines

HASH = "0" * 64


class Calls:
    """What is asked of served models; answers as a text encoder of 4 channels would."""

    def __init__(self) -> None:
        self.made: list[tuple[str, tuple[int, ...]]] = []

    def __call__(self, name: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        (array,) = inputs.values()
        self.made.append((name, array.shape))
        return {"TEXT": np.repeat(array[..., None], 4, axis=-1).astype(np.float32)}


@pytest.fixture
def artifacts(small_model: ModelInfo, checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with a tokenizer and graphs that add a number of their own: 0, or 1 for `ink`."""
    folder = tmp_path / "artifacts"
    write(folder, small_model, checkpoint, number=0, files=FILES)
    return folder


def write(
    folder: Path, info: ModelInfo, checkpoint: Path, *, number: int, files: tuple[str, ...]
) -> None:
    folder.mkdir(parents=True)
    (folder / "tokenizer").symlink_to(checkpoint / "tokenizer")
    others = [port.name for port in input_ports(info) if port.name != "latents"]
    for file in files:
        names = ("latents", *(others if file == DENOISER else ()))
        inputs = ", ".join(f"float[n] {name}" for name in names)
        graph = f'<ir_version: 10, opset_import: ["" : 18]> g ({inputs}) => (float[n] made) '
        body = f"{{ number = Constant <value_float = {number}.0> () made = Add (latents, number) }}"
        onnx.save(onnx.parser.parse_model(graph + body), folder / file)
    hashes = {file: file_sha256(folder / file) for file in files}
    info.model_copy(update={"onnx_sha256": info.onnx_sha256 | hashes}).save(folder)


def with_variants(artifacts: Path, checkpoint: Path) -> None:
    """`ink` has a denoiser of its own, and so the graph that reads references; `mia` a text
    encoder."""
    info = load_model_info(artifacts)
    own = {"ink": (DENOISER, REFERENCE), "mia": (TEXT_ENCODER,)}
    for name, files in own.items():
        shared = tuple(file for file in FILES if file not in files)
        facts = info.model_copy(update={"variant": name, "shared": shared})
        write(variant_folder(artifacts, name), facts, checkpoint, number=1, files=files)


def load(
    artifacts: Path, runtime: str, calls: Calls, state: Path | None = None
) -> dict[str, Engines]:
    return load_storyboard_engines(artifacts, runtime, "f32", 1, calls, state)


def texts_called(engines: Engines, calls: Calls) -> list[tuple[str, tuple[int, ...]]]:
    calls.made.clear()
    engines.text_encoder(torch.from_numpy(engines.prompts.token_ids(["a child"] * 9)))
    return list(calls.made)


def test_a_model_without_variants(artifacts: Path) -> None:
    calls = Calls()
    engines = load(artifacts, "onnxruntime", calls)
    assert list(engines) == [""]
    assert (engines[""].info.engine, engines[""].info.precision) == ("onnxruntime", "f32")
    assert texts_called(engines[""], calls) == [("text_encoder", (9, 48))]


def test_variants_share_what_is_the_models_own(artifacts: Path, checkpoint: Path) -> None:
    with_variants(artifacts, checkpoint)
    calls = Calls()
    base, ink, mia = load(artifacts, "onnxruntime", calls).values()
    assert [engines.info.variant for engines in (base, ink, mia)] == ["", "ink", "mia"]
    assert mia.denoiser is base.denoiser
    assert ink.denoiser is not base.denoiser
    assert base.reference_reader is not None
    assert mia.reference_reader is base.reference_reader
    assert ink.reference_reader not in (None, base.reference_reader)
    for engines in (ink, mia):
        assert engines.vae_encoder is base.vae_encoder
        assert engines.vae_decoder is base.vae_decoder
    assert texts_called(ink, calls)[0][0] == "text_encoder"
    assert texts_called(mia, calls)[0][0] == "text_encoder_mia"


def test_a_model_beside_has_served_models_of_its_own(artifacts: Path, checkpoint: Path) -> None:
    facts = {"variant": "paint", "shared": (), "engine": "onnxruntime"}
    info = load_model_info(artifacts).model_copy(update=facts)
    write(variant_folder(artifacts, "paint"), info, checkpoint, number=1, files=FILES)
    calls = Calls()
    base, paint = load(artifacts, "onnxruntime", calls).values()
    assert paint.info.beside
    assert paint.denoiser is not base.denoiser
    assert paint.reference_reader not in (None, base.reference_reader)
    assert texts_called(paint, calls)[0][0] == "text_encoder_paint"
    asked = (
        (paint.vae_encoder, "vae_encoder_paint"),
        (paint.vae_decoder, "vae_decoder_paint"),
        (base.vae_decoder, "vae_decoder"),
    )
    for engine, name in asked:
        with pytest.raises(KeyError):  # what answers here gives texts alone
            engine(torch.zeros(1, 3, 8, 8))
        assert calls.made[-1][0] == name


def test_a_shared_file_is_read_from_the_models_folder(artifacts: Path, checkpoint: Path) -> None:
    with_variants(artifacts, checkpoint)
    feed = {"latents": np.zeros(2, np.float32)}
    for name, number in (("ink", 0), ("mia", 1)):
        folder = variant_folder(artifacts, name)
        (made,) = load_graph(folder, TEXT_ENCODER, "onnxruntime", threads=1)(feed)
        assert made.tolist() == [number, number]
    (artifacts / TEXT_ENCODER).write_bytes(b"changed")
    with pytest.raises(ArtifactsError, match=r"artifacts/text_encoder.onnx: got SHA-256"):
        load_graph(variant_folder(artifacts, "ink"), TEXT_ENCODER, "onnxruntime")


def plan(artifacts: Path, file: str, rows: int) -> None:
    """A plan's file and facts, for at most `rows` of one input."""
    path = artifacts / PLANS[file]
    path.write_bytes(b"plan")
    shapes = {"smallest": (1, 2), "tuned": (1, 2), "largest": (rows, 2)}
    EngineMetadata(
        plan=path.name,
        plan_sha256=file_sha256(path),
        onnx_sha256=HASH,
        weights_sha256=HASH,
        gpu="NVIDIA H200",
        capability="9.0",
        tensorrt="11.4.0.106",
        precision="f16",
        profile={"latents": ShapeRange(**shapes)},
        attention_plugins=0,
    ).save(artifacts)


def predicts_nothing(batch: DenoiserBatch) -> Tensor:
    return torch.zeros_like(batch["latents"])


def reads_nothing(batch: ReferenceBatch) -> tuple[BankEntry, ...]:
    return ()


def test_a_gpu_repository_draws_with_its_plans(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the plan itself needs a GPU; everything around it does not."""
    for file in PLANS:
        plan(artifacts, file, rows=4)
    loaded: list[tuple[Path, Path | None]] = []

    def load_denoiser(folder: Path, state: Path | None) -> Denoiser:
        loaded.append((folder, state))
        return predicts_nothing

    def load_reader(folder: Path, state: Path | None) -> ReferenceReader:
        loaded.append((folder, state))
        return reads_nothing

    monkeypatch.setattr(lafi.engine.tensorrt.engines, "load_denoiser", load_denoiser)
    monkeypatch.setattr(lafi.engine.tensorrt.engines, "load_reference_reader", load_reader)
    calls = Calls()
    state = artifacts.parent / "state"
    (engines,) = load(artifacts, "tensorrt", calls, state).values()
    assert loaded == [(artifacts, state)] * 2
    assert engines.denoiser is cast(Denoiser, predicts_nothing)
    assert engines.reference_reader is cast(ReferenceReader, reads_nothing)
    assert engines.row_counts == (1, 2, 4)
    assert (engines.info.engine, engines.info.precision) == ("tensorrt", "f16")
    # Never more rows than the plan takes.
    assert texts_called(engines, calls) == [
        ("text_encoder", (4, 48)),
        ("text_encoder", (4, 48)),
        ("text_encoder", (1, 48)),
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_repository_without_a_gpu_says_so(artifacts: Path) -> None:
    with pytest.raises(EngineMetadataError, match=r"denoiser.plan: no such file; build it again"):
        load(artifacts, "tensorrt", Calls())
    for file in PLANS:
        plan(artifacts, file, rows=4)
    with pytest.raises(GpuMissing, match="gpu: got none that torch can use"):
        load(artifacts, "tensorrt", Calls())


def test_variants_are_not_for_a_gpu_repository(artifacts: Path, checkpoint: Path) -> None:
    with_variants(artifacts, checkpoint)
    with pytest.raises(ArtifactsError, match="variants: got ink, mia, allowed none with tensorrt"):
        load(artifacts, "tensorrt", Calls())
