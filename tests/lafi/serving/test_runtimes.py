"""Runtimes are found by name and asked what they can do; an installed package brings one."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lafi.engine.onnx.graph import RUNTIMES
from lafi.model.artifacts import ArtifactsError
from lafi.model.info import ModelInfo, variant_folder
from lafi.ports.engines import DenoiserBatch
from lafi.ports.runtime import Runtime
from lafi.serving.runtimes import runtime_named, runtimes
from lafi.serving.storyboard_engines import load_storyboard_engines

TOY = '''
from dataclasses import dataclass

import torch

from lafi.model.artifacts import TEXT_ENCODER
from lafi.model.info import load_model_info


@dataclass(frozen=True)
class Toy:
    """Predicts the number of threads, reads references as rows, and knows the model alone."""

    name: str = "toy"
    serves_variants: bool = False

    def model_info(self, artifacts, precision):
        return load_model_info(artifacts).model_copy(
            update={"engine": self.name, "precision": precision}
        )

    def load_denoiser(self, artifacts, precision, threads):
        return lambda batch: torch.full_like(batch["latents"], threads)

    def load_reference_reader(self, artifacts, precision, threads):
        return None

    def load_controls(self, artifacts, precision, threads):
        return {}

    def load_control_adapters(self, artifacts, threads):
        return {}

    def load_picture_encoder(self, artifacts, threads):
        return None

    def served_rows(self, artifacts):
        return {TEXT_ENCODER: 3}

    def row_counts(self, artifacts):
        return (2, 5)


toy = Toy()
mine = Toy("openvino")
number = 5
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lays a package with these entry points among the installed ones."""
    (tmp_path / "toy_runtimes.py").write_text(TOY)
    facts = tmp_path / "toy_runtimes-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-runtimes\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(*names: str) -> None:
        lines = [f"{name} = toy_runtimes:{name}" for name in names]
        (facts / "entry_points.txt").write_text("\n".join(["[lafi.runtimes]", *lines, ""]))

    yield install
    sys.modules.pop("toy_runtimes", None)


@pytest.fixture
def artifacts(small_model: ModelInfo, checkpoint: Path, tmp_path: Path) -> Path:
    """What is there of an export where a runtime reads no more than `lafi.json`."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "tokenizer").symlink_to(checkpoint / "tokenizer")
    small_model.save(folder)
    return folder


def test_ours_say_what_they_can_do() -> None:
    assert list(runtimes()) == [*RUNTIMES, "tensorrt", "tensorrt-rtx"]
    assert all(isinstance(runtime, Runtime) for runtime in runtimes().values())
    serving = {name for name, runtime in runtimes().items() if runtime.serves_variants}
    assert serving == {*RUNTIMES}


def test_an_unknown_one_is_refused_with_those_that_are_known() -> None:
    known = "allowed onnxruntime, openvino, tensorrt, tensorrt-rtx"
    with pytest.raises(ArtifactsError, match=rf"^runtime: got 'magic', {known}$"):
        runtime_named("magic")


@pytest.mark.parametrize(
    ("name", "precision", "allowed"),
    [("onnxruntime", "bf16", "f32 with onnxruntime"), ("openvino", "f16", "f32, bf16")],
)
def test_a_precision_that_it_does_not_have(
    artifacts: Path, name: str, precision: str, allowed: str
) -> None:
    with pytest.raises(ArtifactsError, match=f"precision: got '{precision}', allowed {allowed}$"):
        runtime_named(name).model_info(artifacts, precision)


def test_a_package_brings_one(installed: Any, artifacts: Path) -> None:
    installed("toy")
    assert [*runtimes()][-1] == "toy"
    called: list[tuple[int, ...]] = []

    def call(name: str, inputs: Any) -> Any:
        (ids,) = inputs.values()
        called.append(ids.shape)
        return {"TEXT": torch.zeros(*ids.shape, 4).numpy()}

    (engines,) = load_storyboard_engines(artifacts, "toy", "q4", 7, call).values()
    assert (engines.info.engine, engines.info.precision) == ("toy", "q4")
    assert engines.reference_reader is None
    assert engines.row_counts == (2, 5)
    zeros = torch.zeros(1, 4, 2, 2)
    batch = DenoiserBatch({"latents": zeros})
    assert torch.equal(engines.denoiser(batch), zeros + 7)
    # Never more rows than it says that its served model takes.
    engines.text_encoder(torch.from_numpy(engines.prompts.token_ids(["a child"] * 4)))
    assert [rows for rows, _ in called] == [3, 1]
    with pytest.raises(ArtifactsError, match=r"runtime: got 'magic', allowed .*, toy$"):
        runtime_named("magic")


def test_variants_are_refused_by_one_that_does_not_serve_them(
    installed: Any, artifacts: Path
) -> None:
    installed("toy")
    folder = variant_folder(artifacts, "ink")
    folder.mkdir(parents=True)
    runtime_named("toy").model_info(artifacts, "q4").model_copy(update={"variant": "ink"}).save(
        folder
    )
    with pytest.raises(ArtifactsError, match="variants: got ink, allowed none with toy, which"):
        load_storyboard_engines(artifacts, "toy", "q4", 1, lambda name, inputs: {})


def test_a_package_replaces_none_of_ours(installed: Any) -> None:
    own = runtime_named("openvino")
    installed("mine")
    assert runtimes()["openvino"] is own
    assert runtime_named("openvino") is own


@pytest.mark.parametrize(("name", "got"), [("number", "int"), ("Toy", "type")])
def test_an_entry_point_that_is_no_runtime_is_refused(installed: Any, name: str, got: str) -> None:
    installed(name)
    message = f"entry point {name} of lafi.runtimes: got {got}, allowed: an instance of a Runtime"
    with pytest.raises(TypeError, match=message):
        runtimes()
    # Those that are here do not depend on it.
    assert runtime_named("onnxruntime").name == "onnxruntime"
