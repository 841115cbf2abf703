"""TensorRT engines as callables: padding of a denoiser's rows, and what is checked at load."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lafi.engine.cuda.graphs import GraphRunner
from lafi.engine.cuda.machine import GpuMissing
from lafi.engine.tensorrt.engines import (
    PLANS,
    TensorRTDenoiser,
    TensorRTImageEngine,
    TensorRTTextEncoder,
    batch_padding,
    check_sources,
    denoiser_padding,
    load_denoiser,
    load_tensorrt_engines,
    tensorrt_model_info,
)
from lafi.model.artifacts import DENOISER, TEXT_ENCODER, file_sha256
from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_shapes, bank_tensor_names
from lafi.model.engine_metadata import EngineMetadata, EngineMetadataError, Shape, ShapeRange
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import TORCH_DTYPES, denoiser_tensors
from lafi.ports.engines import DenoiserBatch
from model_infos import attention_sites, model_info

LAYERS, CHANNELS, TOKENS, WIDTH, SIDE = 3, 4, 5, 6, 8
INFO = model_info(
    latent_channels=CHANNELS,
    side_multiple=8,
    text_length=TOKENS,
    text_width=WIDTH,
    layers=attention_sites(LAYERS, block="mid", width=CHANNELS),
)
PORTS = input_ports(INFO)
GROUPS = bank_groups(INFO.layers)
(KEYS, VALUES) = bank_tensor_names(GROUPS)


def ranged(smallest: Shape, largest: Shape) -> ShapeRange:
    return ShapeRange(smallest=smallest, tuned=smallest, largest=largest)


@pytest.fixture
def metadata() -> EngineMetadata:
    def shapes(rows: int, references: int, entries: int, side: int) -> dict[str, Shape]:
        return {
            "latents": (rows, CHANNELS, SIDE, SIDE),
            "timesteps": (rows,),
            "text": (rows, TOKENS, WIDTH),
            "routes": (LAYERS, rows, references),
            "bias": (rows, references),
            "mask": (rows, SIDE, SIDE),
            "region": (rows, references, SIDE, SIDE),
            "words": (rows, TOKENS),
            **bank_shapes(GROUPS, entries, (side, side)),
        }

    smallest, largest = shapes(1, 1, 1, 1), shapes(8, 4, 4, SIDE)
    return EngineMetadata(
        plan=PLANS[DENOISER],
        plan_sha256="0" * 64,
        onnx_sha256="1" * 64,
        weights_sha256="2" * 64,
        gpu="NVIDIA H200",
        capability="9.0",
        tensorrt="11.4.0.106",
        precision="f16",
        profile={name: ranged(smallest[name], largest[name]) for name in smallest},
        attention_plugins=LAYERS,
    )


class ReadingSession:
    """Predicts latents + time, and for each row what it routes to and the regions of its words.

    Of a bank entry the first layer's keys and values stand for its latents.
    """

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.output_shapes = {"noise_pred": shapes["latents"]}
        self.bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self.bound[name] = tensor

    def enqueue(self) -> None:
        latents, routes = self.bound["latents"], self.bound["routes"]
        out = latents + self.bound["timesteps"][:, None, None, None]
        for row in range(len(latents)):
            for word in self.bound["words"][row].tolist():
                if word >= 0:
                    out[row] = out[row] + self.bound["region"][row, word]
            for slot in range(routes.shape[2]):
                source = int(routes[0, row, slot])
                if source >= 0:
                    mask, value = self._source(source)
                    weight = self.bound["region"][row, slot] * mask
                    out[row] = out[row] + weight * value * self.bound["bias"][row, slot]
        self.bound["noise_pred"].copy_(out)

    def _source(self, source: int) -> tuple[Tensor, Tensor]:
        latents = self.bound["latents"]
        if source < len(latents):
            return self.bound["mask"][source], latents[source]
        entry = source - len(latents)
        value = self.bound[KEYS][0, entry] + self.bound[VALUES][0, entry]
        return self.bound[BANK_MASK][entry], value.T.reshape(latents.shape[1:])


class ReadingEngine:
    def __init__(self, names: tuple[str, ...]) -> None:
        dtypes = {port.name: TORCH_DTYPES[port.dtype] for port in PORTS}
        self.inputs = {name: dtypes.get(name, torch.float32) for name in names}
        self.outputs = {"noise_pred": torch.float32}
        self.shapes: list[dict[str, Shape]] = []

    def session(self, shapes: Mapping[str, Shape]) -> ReadingSession:
        self.shapes.append(dict(shapes))
        return ReadingSession(shapes)


class CpuDevice:
    """Runs at once, on the CPU."""

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, 9, dtype=dtype)

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def finish(self) -> None:
        return

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        return tensor.clone()


def random_batch(
    rows: int, references: int, entries: int = 0, *, limited: bool = True
) -> DenoiserBatch:
    generator = torch.Generator().manual_seed(rows)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    routes = torch.randint(-1, rows + entries, (LAYERS, rows, references), generator=generator)
    words = torch.randint(-1, references, (rows, TOKENS), generator=generator)
    kept = {name: drawn(*s) for name, s in bank_shapes(GROUPS, entries, (SIDE, SIDE)).items()}
    bank = BankInputs((kept[KEYS],), (kept[VALUES],), kept[BANK_MASK])
    return DenoiserBatch(
        {
            "latents": drawn(rows, CHANNELS, SIDE, SIDE),
            "timesteps": drawn(rows),
            "text": drawn(rows, TOKENS, WIDTH),
            "routes": routes.int(),
            "bias": drawn(rows, references),
            "mask": drawn(rows, SIDE, SIDE),
            "region": drawn(rows, references, SIDE, SIDE),
            **({"words": words.int()} if limited else {}),
        },
        bank=bank if entries else None,
    )


@pytest.mark.parametrize(
    ("rows", "references", "entries"),
    [(1, 1, 0), (3, 2, 0), (5, 3, 1), (8, 4, 3), (2, 0, 0), (3, 3, 4), (6, 2, 2)],
)
def test_padding_changes_no_prediction(
    metadata: EngineMetadata, rows: int, references: int, entries: int
) -> None:
    engine = ReadingEngine(tuple(metadata.profile))
    padding = denoiser_padding(metadata, PORTS)
    padded = GraphRunner(engine, CpuDevice(), padding)
    batch = random_batch(rows, references, entries)
    alone = ReadingSession({"latents": tuple(batch["latents"].shape)})
    for name, tensor in denoiser_tensors(batch, PORTS, GROUPS).items():
        alone.bind(name, tensor)
    alone.bind("noise_pred", torch.empty_like(batch["latents"]))
    alone.enqueue()
    got = TensorRTDenoiser(padded, tuple(metadata.profile), padding, INFO)(batch)
    assert got.shape == batch["latents"].shape
    torch.testing.assert_close(got, alone.bound["noise_pred"])
    (shapes,) = engine.shapes
    metadata.check_shapes(shapes)
    of_rows = [name for name in shapes if name != "routes" and not name.startswith("bank_")]
    assert len({shapes[name][0] for name in of_rows}) == 1
    kept = {shapes[BANK_MASK][0], shapes[KEYS][1], shapes[VALUES][1]}
    assert len(kept) == 1


def test_more_rows_than_the_plan_takes(metadata: EngineMetadata) -> None:
    engine = ReadingEngine(tuple(metadata.profile))
    padding = denoiser_padding(metadata, PORTS)
    runner = GraphRunner(engine, CpuDevice(), padding)
    denoiser = TensorRTDenoiser(runner, tuple(metadata.profile), padding, INFO)
    with pytest.raises(ValueError, match="latents, axis 0: got size 9, allowed 0 to 8"):
        denoiser(random_batch(9, 1))


class DoublingEngine:
    def __init__(self) -> None:
        self.inputs = {"IMAGE": torch.float32}
        self.outputs = {"LATENT": torch.float16}

    def session(self, shapes: Mapping[str, Shape]) -> "DoublingSession":
        return DoublingSession(shapes)


class DoublingSession:
    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.output_shapes = {"LATENT": shapes["IMAGE"]}
        self.bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self.bound[name] = tensor

    def enqueue(self) -> None:
        self.bound["LATENT"].copy_(2 * self.bound["IMAGE"])


def test_an_image_engine_gives_fp32(metadata: EngineMetadata) -> None:
    profile = {"IMAGE": ranged((1, 3, 8, 8), (4, 3, 8, 8))}
    padding = batch_padding(metadata.model_copy(update={"profile": profile}))
    encode = TensorRTImageEngine(GraphRunner(DoublingEngine(), CpuDevice(), padding), "IMAGE")
    images = torch.ones(3, 3, 8, 8)
    made = encode(images)
    assert made.dtype == torch.float32
    assert torch.equal(made, 2 * images)


class EncodingSession:
    """TEXT is each token's number in half precision, POOLED the last of them."""

    def __init__(self, shapes: Mapping[str, Shape], outputs: Mapping[str, torch.dtype]) -> None:
        rows, tokens = shapes["TOKEN_IDS"]
        known = {"TEXT": (rows, tokens, 1), "POOLED": (rows, 1)}
        self.output_shapes = {name: known[name] for name in outputs}
        self.bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self.bound[name] = tensor

    def enqueue(self) -> None:
        ids = self.bound["TOKEN_IDS"]
        skips = self.bound.get("CLIP_SKIP", torch.zeros(len(ids), 1))
        self.bound["TEXT"].copy_(ids[:, :, None] + 100 * skips[:, :, None])
        if "POOLED" in self.bound:
            self.bound["POOLED"].copy_(ids[:, -1:])


class EncodingEngine:
    def __init__(self, *outputs: str, inputs: Sequence[str] = ("TOKEN_IDS",)) -> None:
        self.inputs = dict.fromkeys(inputs, torch.int64)
        self.outputs = dict.fromkeys(outputs, torch.float16)

    def session(self, shapes: Mapping[str, Shape]) -> EncodingSession:
        return EncodingSession(shapes, self.outputs)


def test_every_row_skips_the_layers_of_its_call(metadata: EngineMetadata) -> None:
    shapes = {"TOKEN_IDS": ranged((1, TOKENS), (4, TOKENS)), "CLIP_SKIP": ranged((1, 1), (4, 1))}
    padding = batch_padding(metadata.model_copy(update={"profile": shapes}))
    runner = GraphRunner(EncodingEngine("TEXT", inputs=[*shapes]), CpuDevice(), padding)
    encoder = TensorRTTextEncoder(runner, ("text",), 2)
    ids = torch.arange(3 * TOKENS).reshape(3, TOKENS)
    for skip in (2, 0, 1):
        expected = (ids + 100 * skip).float()
        assert torch.equal(encoder(ids, skip)["text"][..., 0], expected)
    with pytest.raises(ValueError, match="clip_skip: got 3, allowed 0 to 2"):
        encoder(ids, 3)


@pytest.mark.parametrize("outputs", [("TEXT",), ("TEXT", "POOLED"), ("POOLED", "TEXT")])
def test_encoded_text_is_known_by_name(metadata: EngineMetadata, outputs: tuple[str, ...]) -> None:
    profile = {"TOKEN_IDS": ranged((1, TOKENS), (4, TOKENS))}
    padding = batch_padding(metadata.model_copy(update={"profile": profile}))
    runner = GraphRunner(EncodingEngine(*outputs), CpuDevice(), padding)
    names = ("text", "pooled")[: len(outputs)]
    encoded = TensorRTTextEncoder(runner, names, 0)(torch.arange(3 * TOKENS).reshape(3, TOKENS))
    assert encoded["text"].dtype == torch.float32
    assert encoded["text"].flatten().tolist() == list(range(3 * TOKENS))
    if "POOLED" in outputs:
        assert encoded["pooled"].dtype == torch.float32
        assert encoded["pooled"].flatten().tolist() == [4, 9, 14]
    else:
        assert encoded.keys() == {"text"}


def test_a_plan_of_another_export_is_refused(
    metadata: EngineMetadata, small_model: ModelInfo
) -> None:
    sources = {"weights_sha256": "2" * 64, "onnx_sha256": {DENOISER: "1" * 64}}
    same = small_model.model_copy(update=sources)
    check_sources(metadata, same, DENOISER)
    other = same.model_copy(update={"weights_sha256": "3" * 64})
    with pytest.raises(EngineMetadataError, match=r"weights_sha256: got '3+', allowed '2+'; "):
        check_sources(metadata, other, DENOISER)
    other = same.model_copy(update={"onnx_sha256": {DENOISER: "3" * 64}})
    with pytest.raises(EngineMetadataError, match=r"onnx_sha256: got '3+', allowed '1+'; "):
        check_sources(metadata, other, DENOISER)
    with pytest.raises(EngineMetadataError, match=r"lafi.json: has no hash of text_encoder.onnx"):
        check_sources(metadata, same, TEXT_ENCODER)


def test_the_info_names_engine_and_precision(
    metadata: EngineMetadata, small_model: ModelInfo, tmp_path: Path
) -> None:
    small_model.save(tmp_path)
    plan = tmp_path / PLANS[DENOISER]
    plan.write_bytes(b"plan")
    metadata.model_copy(update={"plan_sha256": file_sha256(plan)}).save(tmp_path)
    info = tensorrt_model_info(tmp_path)
    assert (info.engine, info.precision) == ("tensorrt", "f16")


def test_tensorrt_is_not_imported_with_the_modules() -> None:
    code = (
        "import sys, lafi.engine.tensorrt.engines, lafi.engine.tensorrt.session\n"
        "print(sorted({'tensorrt', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("['torch']\n", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("load", [load_denoiser, load_tensorrt_engines])
def test_without_a_gpu_it_says_so_first(load: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(GpuMissing, match=r"gpu: got none that torch can use.*export for the CPU"):
        load(tmp_path)
