"""What reads references on a plan; ONNX Runtime computes in the place of TensorRT."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

import lafi.engine.tensorrt.engines as engines
from lafi.engine.cuda.machine import GpuMissing
from lafi.engine.onnx.engines import load_reference_reader as load_onnx_reader
from lafi.engine.tensorrt.engines import PLANS, TensorRTReferenceReader, reference_runner
from lafi.model.artifacts import REFERENCE, file_sha256
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, GpuMachine, Shape
from lafi.model.info import ModelInfo, load_model_info
from lafi.ports.engines import ReferenceBatch
from lafi_export.tensorrt_profiles import Limits, Range, reference_profile

HERE = GpuMachine(gpu="NVIDIA H200", capability="9.0", tensorrt="11.4.0.106")
LIMITS = Limits(entries=Range(1, 1, 4), side=Range(32, 32, 64))
SIZE = (8, 12)


class OnnxSession:
    """One set of shapes; computes in ONNX Runtime what TensorRT would."""

    def __init__(self, session: Any, shapes: Mapping[str, Shape]) -> None:
        self._session = session
        made = session.run(None, {name: torch.zeros(s).numpy() for name, s in shapes.items()})
        names = [output.name for output in session.get_outputs()]
        self.output_shapes = {name: tuple(x.shape) for name, x in zip(names, made, strict=True)}
        self._inputs = tuple(shapes)
        self._bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self._bound[name] = tensor

    def enqueue(self) -> None:
        feed = {name: self._bound[name].numpy() for name in self._inputs}
        for name, array in zip(self.output_shapes, self._session.run(None, feed), strict=True):
            self._bound[name].copy_(torch.from_numpy(array))


class OnnxEngine:
    """An exported graph as a plan; its outputs are listed backwards, as no plan keeps an order."""

    def __init__(self, graph: Path) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.inputs = {x.name: torch.float32 for x in self._session.get_inputs()}
        names = [x.name for x in self._session.get_outputs()]
        self.outputs = dict.fromkeys(reversed(names), torch.float32)
        self.shapes: list[dict[str, Shape]] = []

    def session(self, shapes: Mapping[str, Shape]) -> OnnxSession:
        self.shapes.append(dict(shapes))
        return OnnxSession(self._session, shapes)


class CpuDevice:
    """Knows its own memory, and whether what is handed over stays in it."""

    def __init__(self) -> None:
        self._own: list[Tensor] = []
        self.stayed: list[bool] = []

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        self._own.append(torch.full(shape, 9, dtype=dtype))
        return self._own[-1]

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError("a reference is read once; a graph of it gains nothing")

    def finish(self) -> None:
        return

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        self.stayed.append(any(like is own for own in self._own))
        return tensor.clone()


@pytest.fixture(scope="module")
def artifacts(repository: Path) -> Path:
    return repository / "artifacts"


@pytest.fixture(scope="module")
def info(artifacts: Path) -> ModelInfo:
    return load_model_info(artifacts)


@pytest.fixture(scope="module")
def engine(artifacts: Path) -> OnnxEngine:
    return OnnxEngine(artifacts / REFERENCE)


def metadata_of(info: ModelInfo, **update: str) -> EngineMetadata:
    facts = EngineMetadata(
        plan=PLANS[REFERENCE],
        plan_sha256="0" * 64,
        onnx_sha256=info.onnx_sha256[REFERENCE],
        weights_sha256=info.weights_sha256,
        gpu=HERE.gpu,
        capability=HERE.capability,
        tensorrt=HERE.tensorrt,
        precision="f16",
        profile=reference_profile(info, LIMITS),
        attention_plugins=0,
    )
    return facts.model_copy(update=update)


def reader_of(
    engine: OnnxEngine, device: CpuDevice, info: ModelInfo, precision: str = "f32"
) -> TensorRTReferenceReader:
    return TensorRTReferenceReader(
        lambda: reference_runner(engine, device, metadata_of(info), info), info, precision
    )


def references(info: ModelInfo, rows: int) -> ReferenceBatch:
    generator = torch.Generator().manual_seed(rows)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    return ReferenceBatch(
        {
            "latents": drawn(rows, info.latent_channels, *SIZE),
            "timesteps": torch.full((rows,), 100.0),
            "text": drawn(rows, info.text_length, info.text_width),
        },
        mask=drawn(rows, *SIZE),
    )


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_it_gives_what_the_exported_file_gives(
    engine: OnnxEngine, artifacts: Path, info: ModelInfo, rows: int
) -> None:
    batch, device = references(info, rows), CpuDevice()
    engine.shapes.clear()
    got = reader_of(engine, device, info)(batch)
    wanted = load_onnx_reader(artifacts, "onnxruntime", threads=1)(batch)
    assert len(got) == rows
    for entry, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(entry.keys, other.keys)
        torch.testing.assert_close(entry.values, other.values)
        assert torch.equal(entry.mask, other.mask)
    (shapes,) = engine.shapes
    metadata_of(info).check_shapes(shapes)
    # Three references are run as four, and the fourth is cut off again.
    assert shapes["latents"][0] == (4 if rows == 3 else rows)


def test_half_precision_is_kept_in_half_the_memory(engine: OnnxEngine, info: ModelInfo) -> None:
    batch = references(info, 2)
    whole = reader_of(engine, CpuDevice(), info)(batch)
    half = reader_of(engine, CpuDevice(), info, "f16")(batch)
    for entry, other in zip(half, whole, strict=True):
        assert all(
            torch.equal(kept, given.half())
            for kept, given in zip(
                (*entry.keys, *entry.values), (*other.keys, *other.values), strict=True
            )
        )
        assert entry.mask.dtype == torch.float32


def test_keys_and_values_stay_on_the_device(engine: OnnxEngine, info: ModelInfo) -> None:
    device = CpuDevice()
    (entry,) = reader_of(engine, device, info)(references(info, 1))
    assert device.stayed == [True] * len((*entry.keys, *entry.values))


def test_more_references_than_the_plan_takes(engine: OnnxEngine, info: ModelInfo) -> None:
    with pytest.raises(ValueError, match="latents, axis 0: got size 5, allowed 0 to 4"):
        reader_of(engine, CpuDevice(), info)(references(info, 5))


def test_a_plan_with_other_outputs(engine: OnnxEngine, info: ModelInfo) -> None:
    (layer, *_) = info.layers
    other = info.model_copy(update={"layers": (layer.model_copy(update={"width": 7}),)})
    with pytest.raises(EngineMetadataError, match=r"reference.plan: outputs: got bank_k_.*bank_v_"):
        reader_of(engine, CpuDevice(), other)(references(info, 1))


@pytest.fixture
def built(
    artifacts: Path, engine: OnnxEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with the plan alone, on a machine that has the GPU it was built for."""
    info = load_model_info(artifacts)
    info.save(tmp_path)
    plan = tmp_path / PLANS[REFERENCE]
    plan.write_bytes(b"plan")
    metadata_of(info, plan_sha256=file_sha256(plan)).save(tmp_path)
    monkeypatch.setattr(engines, "check_gpu", lambda: None)
    monkeypatch.setattr(engines, "gpu_machine", lambda builder: HERE)
    monkeypatch.setattr(engines, "CudaDevice", CpuDevice)
    return tmp_path


def test_the_plan_is_opened_once_when_it_is_first_needed(
    built: Path, engine: OnnxEngine, info: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def open_plan(plan: Path, metadata: EngineMetadata, state: Path | None) -> OnnxEngine:
        assert metadata.profile == metadata_of(info).profile
        opened.append(plan)
        return engine

    monkeypatch.setattr(engines, "open_plan", open_plan)
    reader = engines.load_reference_reader(built)
    assert opened == []
    assert len(reader(references(info, 2))) == 2
    assert len(reader(references(info, 1))) == 1
    assert opened == [built / "reference.plan"]


def test_a_plan_that_does_not_fit_is_refused_when_it_is_loaded(
    built: Path, info: ModelInfo
) -> None:
    good = metadata_of(info, plan_sha256=file_sha256(built / "reference.plan"))
    good.model_copy(update={"gpu": "NVIDIA L4"}).save(built)
    with pytest.raises(EngineMetadataError, match=r"reference.plan: gpu: got 'NVIDIA H200', all"):
        engines.load_reference_reader(built)
    good.model_copy(update={"onnx_sha256": "1" * 64}).save(built)
    with pytest.raises(EngineMetadataError, match=r"reference.plan: onnx_sha256: got"):
        engines.load_reference_reader(built)
    (built / "reference.plan").unlink()
    with pytest.raises(EngineMetadataError, match=r"reference.plan: no such file; build it again"):
        engines.load_reference_reader(built)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_first(tmp_path: Path) -> None:
    with pytest.raises(GpuMissing, match=r"gpu: got none that torch can use"):
        engines.load_reference_reader(tmp_path)
