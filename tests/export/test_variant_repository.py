"""A repository with variants: what each has of its own, what it shares, and what is refused."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf import text_format
from rich.console import Console
from safetensors.torch import save_file
from tritonclient.grpc import model_config_pb2

import lafi_export.artifacts
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.content_address import content_address
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import model_info
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import DENOISER, TEXT_ENCODER, file_folder, file_sha256
from lafi.model.info import ModelInfo, load_model_info, load_variant_infos, variant_folder
from lafi.ports.engines import DenoiserBatch, Engines
from lafi.wire.model_spec import served_models
from lafi_export import ParityError, ParityReport, export_checkpoint
from lafi_export.checkpoint_variant import Variant, plan_variant, write_variant
from lafi_export.command import export_command
from lafi_export.lora_file import LoraError
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.single_file import SingleFile
from lafi_export.variant_option import parse_variants

TEXT = "a child, <mia>, is running"
# The first of these tests exports the model and its variants.
# Exporting with variants takes a minute; what a variant draws is also held by tests/brought.
pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]


@pytest.fixture(scope="module")
def artifacts(varied_repository: Path) -> Path:
    return varied_repository / "artifacts"


@pytest.fixture(scope="module")
def infos(artifacts: Path) -> dict[str, ModelInfo]:
    """By variant; "" is the model itself."""
    return {i.variant: i for i in (load_model_info(artifacts), *load_variant_infos(artifacts))}


@pytest.fixture
def instant_trace(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    """Takes every graph from the export that is there."""

    def copy(graph: Graph, path: Path, _: Sequence[PartWeights]) -> tuple[str, ...]:
        shutil.copy(repository / "artifacts" / graph.file, path)
        return load_model_info(repository / "artifacts").onnx_weights[graph.file]

    monkeypatch.setattr(lafi_export.artifacts, "export_graph", copy)


def large_files(folder: Path) -> set[str]:
    files = (p for p in folder.rglob("*") if p.suffix in (".onnx", ".safetensors"))
    return {str(path.relative_to(folder)) for path in files}


def test_a_variant_has_only_what_differs(artifacts: Path, infos: dict[str, ModelInfo]) -> None:
    assert list(infos) == ["", "ink", "mia"]
    ink, mia = (variant_folder(artifacts, name) for name in ("ink", "mia"))
    graphs = {file for file in infos[""].onnx_weights if "unet" in infos[""].onnx_weights[file][0]}
    assert large_files(ink) == {*graphs, "weights/unet.safetensors"}
    assert DENOISER in graphs
    assert large_files(mia) == {TEXT_ENCODER, "weights/text_encoder.safetensors"}
    assert TEXT_ENCODER in infos["ink"].shared
    assert DENOISER in infos["mia"].shared
    # A merge moves no weight, so the graph is the model's: the same file, found a second time.
    assert (ink / DENOISER).samefile(artifacts / DENOISER)
    assert [path for path in artifacts.iterdir() if path.name.startswith(".")] == []


def test_every_file_of_a_variant_is_hashed_where_it_lies(
    artifacts: Path, infos: dict[str, ModelInfo]
) -> None:
    base = infos[""]
    for name in ("ink", "mia"):
        info = infos[name]
        assert info.onnx_sha256.keys() == base.onnx_sha256.keys()
        assert info.onnx_weights == base.onnx_weights
        for graph, weights in info.onnx_weights.items():
            folder = file_folder(variant_folder(artifacts, name), info, graph)
            for file in (graph, *weights):
                assert info.onnx_sha256[file] == file_sha256(folder / file)
    changed = {
        name: {f for f, digest in infos[name].onnx_sha256.items() if digest != base.onnx_sha256[f]}
        for name in ("ink", "mia")
    }
    assert changed == {
        "ink": {"weights/unet.safetensors"},
        "mia": {"weights/text_encoder.safetensors", TEXT_ENCODER},
    }


def test_facts_of_a_variant(infos: dict[str, ModelInfo]) -> None:
    base, ink, mia = infos.values()
    assert (base.variant, base.learnt_tokens, base.shared) == ("", (), ())
    assert ink.learnt_tokens == ()
    assert mia.learnt_tokens == ("<mia>", "<mia>_1")
    same = {"variant", "shared", "learnt_tokens", "weights_sha256", "onnx_sha256"}
    assert base.model_dump(exclude=same) == ink.model_dump(exclude=same)
    assert base.model_dump(exclude=same | {"files_sha256"}) == mia.model_dump(
        exclude=same | {"files_sha256"}
    )
    changed = {"tokenizer/tokenizer.json", "text_encoder/config.json"}
    differing = dict(base.files_sha256.items() ^ mia.files_sha256.items())
    assert changed <= differing.keys() <= changed | {"tokenizer/tokenizer_config.json"}


def test_the_same_panel_has_another_address_in_each(infos: dict[str, ModelInfo]) -> None:
    board = Storyboard(panels=(Panel(prompt=TEXT),))
    addresses = {content_address(board, board.panels[0], {"": info}) for info in infos.values()}
    assert len(addresses) == 3


def test_a_text_encoder_of_its_own_is_a_served_model(
    varied_repository: Path, infos: dict[str, ModelInfo]
) -> None:
    base, ink, mia = infos.values()
    specs = {spec.name: spec for spec in served_models(base, (ink, mia))}
    models = varied_repository / "models"
    assert {path.name for path in models.iterdir()} == specs.keys()
    name = "text_encoder_mia"
    text = (models / name / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert (config.name, config.backend) == (name, "python")
    assert config.max_batch_size == specs[name].max_batch_size
    assert config.HasField("dynamic_batching")
    wanted = [tensor.shape for tensor in specs[name].inputs]
    assert [tuple(tensor.dims) for tensor in config.input] == wanted
    assert [tensor.name for tensor in config.output] == ["TEXT"]
    where = config.parameters["artifacts"].string_value
    assert (models / where).resolve() == variant_folder(models.parent / "artifacts", "mia")
    adapters = [models / model / "1" / "model.py" for model in (name, "text_encoder")]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_each_variant_was_compared_with_torch(artifacts: Path) -> None:
    for name in ("ink", "mia"):
        text = (variant_folder(artifacts, name) / "parity.json").read_text(encoding="utf-8")
        report = ParityReport.model_validate_json(text)
        report.check()
        assert report.model.endswith(f", variant {name}")
        assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}
        assert len(report.pictures) == 3


def batch(engines: Engines) -> DenoiserBatch:
    """One row that reads another one in every layer, with the text that has the word."""
    info = engines.info
    generator = torch.Generator().manual_seed(0)
    ids = torch.from_numpy(engines.prompts.token_ids([TEXT, "a child"]))
    routes = torch.full((len(info.layers), 2, 1), -1, dtype=torch.int32)
    routes[:, 0] = 1
    return DenoiserBatch(
        {
            "latents": torch.randn(2, info.latent_channels, 8, 8, generator=generator),
            "timesteps": torch.tensor([500.0, 500.0]),
            "text": engines.text_encoder(ids)["text"],
            "routes": routes,
            "bias": torch.zeros(2, 1),
            "mask": torch.ones(2, 8, 8),
            "region": torch.ones(2, 1, 8, 8),
        },
    )


def test_a_variant_predicts_what_its_checkpoint_predicts(
    checkpoint: Path, artifacts: Path, variant_options: tuple[str, ...], tmp_path: Path
) -> None:
    predictions = []
    for variant in parse_variants(variant_options):
        merged = tmp_path / variant.name
        write_variant(checkpoint, plan_variant(checkpoint, variant), merged)
        expected, made = (
            load_torch_engines(merged),
            load_onnx_engines(variant_folder(artifacts, variant.name), threads=1),
        )
        wanted, got = (engines.denoiser(batch(engines)) for engines in (expected, made))
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
        predictions.append(got)
    base = load_onnx_engines(artifacts, threads=1)
    predictions.append(base.denoiser(batch(base)))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (predictions[one] - predictions[other]).abs().max() > 1e-3


def test_a_file_that_does_not_fit_is_refused_before_anything_is_done(
    checkpoint: Path, tmp_path: Path, variant_options: tuple[str, ...]
) -> None:
    down, up = torch.ones(1, 3), torch.ones(3, 1)
    wrong = tmp_path / "wrong.safetensors"
    save_file({"unet.nowhere.lora_A.weight": down, "unet.nowhere.lora_B.weight": up}, wrong)
    steps: list[str] = []
    variants = (*parse_variants(variant_options), Variant("wrong", loras=((wrong, 1.0),)))
    with pytest.raises(LoraError, match=r"wrong.safetensors: .*'nowhere'"):
        export_checkpoint(checkpoint, tmp_path / "out", variants=variants, tell=steps.append)
    assert steps == []
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.safetensors"]
    console = Console(record=True, width=300, file=io.StringIO())
    options = [f"wrong={wrong}"]
    assert (
        export_command(SingleFile(checkpoint), tmp_path / "out", variants=options, console=console)
        == 1
    )
    (line,) = console.export_text().splitlines()
    assert line.startswith("error: ")
    assert "'nowhere'" in line


@pytest.mark.usefixtures("instant_trace")
def test_a_variant_that_is_wrong_is_named_and_leaves_nothing(
    checkpoint: Path, tmp_path: Path, variant_options: tuple[str, ...]
) -> None:
    torch_engines = load_torch_engines(checkpoint)

    def load(folder: Path, runtime: Any, precision: Any, threads: int) -> Engines:
        """The model's own weights, whatever folder is asked for."""
        return replace(torch_engines, info=model_info(folder, runtime, precision))

    with pytest.raises(ParityError, match=r"ink: the exported engines differ .*\ndenoiser"):
        export_checkpoint(
            checkpoint,
            tmp_path / "out",
            variants=parse_variants(variant_options[:1]),
            load_engines=load,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("instant_trace")
def test_the_command_tells_of_each_variant(
    checkpoint: Path, tmp_path: Path, variant_options: tuple[str, ...]
) -> None:
    console = Console(record=True, width=160, file=io.StringIO())
    code = export_command(
        SingleFile(checkpoint),
        tmp_path / "out",
        runtime="onnxruntime",
        variants=variant_options[:1],
        console=console,
    )
    assert code == 0, console.export_text()
    text = console.export_text()
    for said in ("ink: merging", "ink: comparing with torch", "variant ink with torch in fp32"):
        assert said in text
    assert "a storyboard chooses it by `variant: ink`" in text
