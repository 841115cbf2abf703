"""A pod serves an export of TensorRT-RTX that it cannot write to: where compiled kernels go.

The adapters are the served ones, and the repository is put together as the init container does it.
Triton Server, TensorRT-RTX and the GPU are pretended.
"""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

import lafi.engine.tensorrt.engines as engines
import lafi.engine.tensorrt.upscaler as upscaler
from lafi.engine.tensorrt.engines import PLANS
from lafi.model.artifacts import DENOISER, REFERENCE, TEXT_ENCODER, file_sha256
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, ShapeRange
from lafi.model.info import ModelInfo
from lafi.ports.engines import ReferenceBatch
from lafi.wire.model_spec import text_encoder_spec
from lafi_export.node_engines import put_together

ROOT = Path(__file__).parents[3]
CARD = GpuMachine("NVIDIA L40S", "8.9", "1.7.1.116", "tensorrt-rtx")
SERVED = ("text_encoder", "vae_encoder", "vae_decoder", "upscaler", "storyboard")


class NoSession(Exception):
    """Nothing of this runs."""


class Opened:
    """`TensorRTEngine` without TensorRT: remembers where its kernels are kept."""

    captured = True
    files: list[Path]

    def __init__(self, plan: Path, metadata: EngineMetadata, kernels: Path) -> None:
        self.inputs = dict.fromkeys(metadata.profile, torch.float32)
        self.outputs = {"made": torch.float32}
        self.files.append(kernels)

    def session(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        raise NoSession


def described(plan: Path, sources: tuple[str, str], names: tuple[str, ...]) -> None:
    plan.write_bytes(b"plan of " + plan.name.encode())
    shapes = ShapeRange(smallest=(1, 1, 1, 1), tuned=(2, 8, 8, 8), largest=(16, 64, 64, 64))
    EngineMetadata(
        plan=plan.name,
        plan_sha256=file_sha256(plan),
        onnx_sha256=sources[0],
        weights_sha256=sources[1],
        builder="tensorrt-rtx",
        gpu="",
        capability="8.6 8.9",
        tensorrt=CARD.tensorrt,
        precision="f16",
        profile=dict.fromkeys(names, shapes),
        attention_plugins=0,
    ).save(plan.parent)


@pytest.fixture
def claim(small_model: ModelInfo, checkpoint: Path, tmp_path: Path) -> Path:
    """What `lafi export --target tensorrt-rtx` leaves, as far as it is read when it is served."""
    artifacts = tmp_path / "claim" / "sdxl_rtx" / "artifacts"
    hashes = {name: f"{place:x}" * 64 for place, name in enumerate(PLANS)}
    info = small_model.model_copy(update={"weights_sha256": "f" * 64, "onnx_sha256": hashes})
    shutil.copytree(checkpoint / "tokenizer", artifacts / "tokenizer")
    info.save(artifacts)
    served = tuple(tensor.name for tensor in text_encoder_spec(info).inputs)
    inputs = {TEXT_ENCODER: served, REFERENCE: ("latents", "timesteps", "text")}
    for name, plan in PLANS.items():
        described(artifacts / plan, (hashes[name], "f" * 64), inputs.get(name, ("latents",)))
    shutil.copytree(ROOT / "tiny_model" / "upscaler", artifacts / "upscaler")
    network = artifacts / "upscaler" / "x4"
    facts = json.loads((network / "network.json").read_text())
    described(network / "network.plan", (facts["sha256"], facts["weights_sha256"]), ("pixels",))
    for model in SERVED:
        (artifacts.parent / "models" / model).mkdir(parents=True)
    return artifacts.parent


@pytest.fixture
def pod(
    claim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, list[Path]]]:
    """By served model: the files in which its plans' kernels are kept."""
    allowed = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode: claim not in Path(path).parents and allowed(path, mode)
    )
    for module in (engines, upscaler):
        monkeypatch.setattr(module, "check_gpu", lambda: None)
        monkeypatch.setattr(module, "gpu_machine", lambda builder: CARD)
    monkeypatch.setattr(engines, "CudaDevice", MagicMock)
    monkeypatch.setattr(engines, "TensorRTEngine", Opened)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", MagicMock())
    put_together(claim, tmp_path / "pod")
    kept: dict[str, list[Path]] = {}
    for model in SERVED:
        Opened.files = kept[model] = []
        adapter = adapter_of(model)
        adapter.initialize(settings(tmp_path / "pod" / "models" / model))
        if model == "storyboard":
            with pytest.raises(NoSession):
                read_a_reference(adapter)
            adapter.finalize()
    yield kept
    for name in [name for name in sys.modules if name.startswith("lafi_repository.")]:
        del sys.modules[name]


def adapter_of(model: str) -> Any:
    """`model.py` as the Python backend loads it."""
    file = ROOT / "model_repository" / model / "1" / "model.py"
    spec = importlib.util.spec_from_file_location(f"adapter_{model}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TritonPythonModel()


def settings(folder: Path) -> dict[str, str]:
    parameters = {"runtime": {"string_value": "tensorrt-rtx"}}
    return {
        "model_config": json.dumps({"parameters": parameters}),
        "model_repository": str(folder),
    }


def read_a_reference(adapter: Any) -> None:
    """That plan is opened when it is first called."""
    reader = adapter._studio._engines[""].reference_reader
    ports = {"latents": torch.zeros(1, 4, 8, 8), "timesteps": torch.zeros(1)}
    reader(ReferenceBatch(ports | {"text": torch.zeros(1, 8, 8)}, mask=torch.ones(1, 8, 8)))


def test_kernels_are_kept_in_the_state_of_the_pod(
    pod: dict[str, list[Path]], claim: Path, tmp_path: Path
) -> None:
    plans = {model: [file.name.split(".plan")[0] for file in kept] for model, kept in pod.items()}
    assert plans == {
        "text_encoder": ["text_encoder"],
        "vae_encoder": ["vae_encoder"],
        "vae_decoder": ["vae_decoder"],
        "upscaler": ["network"],
        "storyboard": [PLANS[DENOISER].removesuffix(".plan"), PLANS[REFERENCE][: -len(".plan")]],
    }
    folders = {file.parent for kept in pod.values() for file in kept}
    assert folders == {tmp_path / "pod" / "state" / "kernels"}
