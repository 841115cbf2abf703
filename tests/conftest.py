"""Fixtures every test may use: a complete but tiny checkpoint with random weights."""

import fcntl
import os
import shutil
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

# Hooks, which pytest finds by their names.
from brought_record import pytest_addoption, pytest_configure, pytest_sessionfinish  # noqa: F401
from file_order import pytest_collection_modifyitems  # noqa: F401

from lafi.model.info import load_model_info
from lafi.model.picture_prompt_info import AdapterFiles

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `StableDiffusionPipeline` folder: 4 latent channels, VAE factor 4, text (48, 64)."""
    import torch

    from lafi_tiny.stages.blueprint import (
        Blueprint,
        build_autoencoder,
        build_text_encoder,
        build_unet,
        save_pipeline,
    )
    from lafi_tiny.stages.tokenizer import build_tokenizer

    torch.manual_seed(0)
    plan = Blueprint(
        side=32,
        latent_channels=4,
        vae_widths=(8, 16, 16),
        unet_widths=(16, 32, 32),
        unet_heads=(2, 2, 4),
        text_width=64,
        text_layers=1,
        text_heads=4,
        text_length=48,
        norm_groups=8,
        vae_norm_groups=8,
    )
    tokenizer = build_tokenizer(
        ["a child is running on the beach at night", "孩子在海滩上"] * 3, 600, length=48
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    save_pipeline(
        folder,
        vae=build_autoencoder(plan, scaling_factor=0.5),
        unet=build_unet(plan),
        text_encoder=build_text_encoder(plan, tokenizer),
        tokenizer=tokenizer,
    )
    return folder


@pytest.fixture(scope="session")
def small_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a published architecture -> a folder of it with small widths, random; read only."""
    from lafi_export.random_checkpoint import random_checkpoint

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        random_checkpoint(name, folder, size="small")  # type: ignore[arg-type]
        return folder

    return made


@pytest.fixture(scope="session")
def checkpoint_of(
    checkpoint: Path, small_checkpoints: Callable[[str], Path]
) -> Callable[[str], Path]:
    """ "sd" -> `checkpoint`; another name: as `small_checkpoints`."""
    return lambda name: checkpoint if name == "sd" else small_checkpoints(name)


def _made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A folder that `make` writes; parallel test processes share it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(folder)
    return folder


@pytest.fixture(scope="session")
def repository(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `lafi export` makes of `checkpoint`, denoiser included; read only.

    Tracing takes most of a minute, so parallel test processes share one export.
    """
    from lafi_export import export_checkpoint

    def export(folder: Path) -> None:
        export_checkpoint(checkpoint, folder, runtime="onnxruntime", denoiser=True)

    return _made_once(tmp_path_factory, "repository", export)


@pytest.fixture(scope="session")
def variant_options(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """`--variant` for `ink`, a LoRA of the UNet at 0.5, and for `mia`, a word of 2 vectors."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("variant_files")
    (unet,) = (checkpoint / "unet").glob("*.safetensors")
    factors = {}
    generator = torch.Generator().manual_seed(1)
    for name, weight in load_file(unet).items():
        if name.endswith(("attn1.to_v.weight", "attn2.to_v.weight")):
            module = f"unet.{name.removesuffix('.weight')}"
            out, inside = weight.shape
            factors[f"{module}.lora_A.weight"] = torch.randn(2, inside, generator=generator)
            factors[f"{module}.lora_B.weight"] = torch.randn(out, 2, generator=generator)
    save_file(factors, folder / "ink.safetensors")
    save_file({"<mia>": torch.randn(2, 64, generator=generator)}, folder / "mia.safetensors")
    return f"ink={folder / 'ink.safetensors'}:0.5", f"mia={folder / 'mia.safetensors'}"


@pytest.fixture(scope="session")
def varied_repository(
    checkpoint: Path,
    repository: Path,
    variant_options: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """`repository` with the variants `ink` and `mia`; read only.

    The model's own graphs are those of `repository`; what the variants need is traced.
    """
    from lafi_export import export_checkpoint
    from lafi_export.variant_option import parse_variants

    def export(folder: Path) -> None:
        variants = parse_variants(variant_options)
        with _graphs_of(repository, lambda path: path.parent.name == "artifacts"):
            export_checkpoint(checkpoint, folder, runtime="onnxruntime", variants=variants)

    return _made_once(tmp_path_factory, "varied_repository", export)


@contextmanager
def _graphs_of(repository: Path, shared: Callable[[Path], bool]) -> Iterator[None]:
    """An export within takes the graphs at those paths from `repository` instead of tracing them.

    Its report of parity holds them against torch like any other.
    """
    import lafi_export.artifacts

    trace = lafi_export.artifacts.export_graph
    before = load_model_info(repository / "artifacts")

    def traced_once(graph: Any, path: Path, weights: Any) -> tuple[str, ...]:
        if not shared(path):
            return trace(graph, path, weights)
        shutil.copy(repository / "artifacts" / graph.file, path)
        return before.onnx_weights[graph.file]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lafi_export.artifacts, "export_graph", traced_once)
        yield


@pytest.fixture(scope="session")
def pose(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of a control network for `checkpoint`; read only."""
    from control_networks import random_control

    return random_control(checkpoint, tmp_path_factory.mktemp("control") / "a-net.v1", seed=0)


@pytest.fixture(scope="session")
def ink(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of a T2I-Adapter for `checkpoint` that sees grey; read only."""
    from control_networks import random_adapter

    return random_adapter(checkpoint, tmp_path_factory.mktemp("ink") / "ink", 0, in_channels=1)


@pytest.fixture(scope="session")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterFiles:
    """A plus adapter of picture prompts for `checkpoint`, and its image encoder; read only."""
    from picture_adapters import random_adapter

    return random_adapter(checkpoint, tmp_path_factory.mktemp("adapter"), "plus")


@pytest.fixture(scope="session")
def steered_repository(
    checkpoint: Path,
    repository: Path,
    pose: Path,
    ink: Path,
    adapter: AdapterFiles,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What `lafi export` makes of `checkpoint` with all that steers panels beside words: the
    control network `pose`, the T2I-Adapter `ink` and picture prompts; read only.

    Its denoiser and what steers are traced; the rest is as in `repository`. It takes a minute,
    so parallel test processes share one, and tests that use it have more time.
    """
    from lafi_export import export_checkpoint

    def export(folder: Path) -> None:
        controls = {"ink": ink, "pose": pose}
        with _graphs_of(repository, lambda path: path.name != "denoiser.onnx"):
            export_checkpoint(
                checkpoint,
                folder,
                runtime="onnxruntime",
                controls=controls,
                picture_prompts=adapter,
            )

    return _made_once(tmp_path_factory, "steered_repository", export)


@pytest.fixture(scope="session")
def make_recogniser() -> Callable[[Path], Path]:
    """Writes a recogniser with random weights into a folder: S 16, D 8, threshold 0.9."""
    import json

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def make(folder: Path, seed: int = 0, side: int = 16, width: int = 8) -> Path:
        weights = np.random.default_rng(seed).normal(size=(3 * 16, width)).astype(np.float32)
        nodes = [
            helper.make_node(
                "AveragePool",
                ["image"],
                ["pooled"],
                kernel_shape=[side // 4] * 2,
                strides=[side // 4] * 2,
            ),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["raw"]),
            helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=1, p=2),
        ]
        rows = TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "recogniser",
            [helper.make_tensor_value_info("image", rows, ["B", 3, side, side])],
            [helper.make_tensor_value_info("embedding", rows, ["B", width])],
            [numpy_helper.from_array(weights, "weights")],
        )
        opset = [helper.make_opsetid("", 20)]
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(
            helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "student.onnx"
        )
        facts = {"side": side, "width": width, "threshold": 0.9, "trained_on": "nothing"}
        (folder / "recogniser.json").write_text(json.dumps(facts), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def recogniser_folder(
    make_recogniser: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Such a recogniser; read only."""
    return make_recogniser(tmp_path_factory.mktemp("recogniser"))


@pytest.fixture(scope="session")
def describer_folder(
    make_recogniser: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Such a recogniser with a text tower: words are averaged vectors, seven tokens at most."""
    import json

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = make_recogniser(tmp_path_factory.mktemp("describer"))
    words = ("<|endoftext|>", "a", "child", "with", "red", "blue", "hair", "top")
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(3).normal(size=(len(words), 8)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("ReduceMean", ["rows", "axes"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "describer",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["B", "T"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 8])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.save(model, folder / "describer.onnx")
    facts = json.loads((folder / "recogniser.json").read_text(encoding="utf-8"))
    facts["describer"] = {"length": 7, "weight": 0.25, "trained_on": "nothing"}
    (folder / "recogniser.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
