"""`lafi export --target tensorrt`: without a GPU one message, and with one a whole repository."""

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import lafi_export.artifacts
import lafi_export.repository
import lafi_export.tensorrt_command
from lafi.app.cli import app
from lafi.denoising.batcher import MIN_MAX_ROWS
from lafi.drawing.pipeline import MAX_ROWS
from lafi.engine.tensorrt.engines import PLANS, denoiser_row_counts, tensorrt_model_info
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, load_engine_metadata
from lafi.model.info import load_model_info
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.tensorrt_command import build_command
from lafi_export.tensorrt_plan import BuildError, BuildOptions, BuildPlan

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_it_says_what_is_missing_and_touches_nothing(tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    code = build_command(tmp_path / "no_checkpoint", tmp_path / "out", console=console)
    assert code == 1
    (line,) = console.export_text().splitlines()
    assert line.startswith("error: gpu: got none that torch can use, allowed: a machine with")
    assert "leave out `--target tensorrt`" in line
    assert list(tmp_path.iterdir()) == []


def test_the_option_leads_there(tmp_path: Path) -> None:
    arguments = ["export", "weights", "--out", str(tmp_path / "out"), "--target", "tensorrt"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    assert result.exit_code == 1
    assert result.output.startswith("error: gpu: got none")
    assert list(tmp_path.iterdir()) == []


TRANSFORMERS = ("zimage", "flux", "sd3", "pixart", "hunyuan")


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            BuildOptions(),
            "CHECKPOINT: got a model of the family {}, allowed another one with --target tensorrt:",
        ),
        (
            BuildOptions.for_rtx(("SM89", "SM75")),
            "capability: got SM75, allowed SM80, SM86, SM89, SM120, SM121 with a model of the "
            "family {}, whose plans are in bf16",
        ),
    ],
    ids=["tensorrt", "without bf16"],
)
def test_transformers_are_refused_before_any_work(
    name: str,
    options: BuildOptions,
    error: str,
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TensorRT-RTX alone has built their denoisers, for GPUs that have bfloat16."""
    here = GpuMachine(gpu="", capability="8.9", tensorrt="1")
    monkeypatch.setattr(lafi_export.tensorrt_command, "machine_for", lambda options: here)
    console = Console(record=True, width=400, file=io.StringIO())
    checkpoint = small_checkpoints(name)
    assert build_command(checkpoint, tmp_path / "out", options=options, console=console) == 1
    (line,) = console.export_text().splitlines()
    assert line.startswith(f"error: {error.format(name)}")
    assert list(tmp_path.iterdir()) == []


FOR_THE_CPU = [
    ["--denoiser"],
    ["--precision", "bf16"],
    ["--runtime", "openvino"],
    ["--unet", "unet.safetensors"],
    ["--vae", "vae.safetensors"],
    ["--text-encoder", "text.safetensors"],
    ["--text-encoder-2", "text.safetensors"],
    ["--text-encoder-3", "text.gguf"],
    ["--transformer", "transformer.gguf"],
    ["--text-precision", "int8"],
    ["--config", "folder"],
    ["--tokenizer", "folder"],
    ["--prediction", "epsilon"],
    ["--variant", "ink=a.safetensors"],
    ["--variant-trigger", "ink=ink"],
    ["--control", "edges=folder"],
    ["--picture-prompts", "adapter.safetensors"],
    ["--image-encoder", "folder"],
]


@pytest.mark.parametrize("target", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("more", FOR_THE_CPU, ids=lambda more: more[0])
def test_options_for_the_cpu_are_refused(more: list[str], target: str) -> None:
    arguments = ["export", "weights", "--target", target, *more]
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert f"{more[0]}: allowed with --target cpu, not {target}" in result.output


@pytest.mark.parametrize("more", [["--sides", "256", "512", "1024"], ["--rows", "8"]])
def test_shapes_are_for_plans(more: list[str]) -> None:
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        app, ["export", "weights", *more]
    )
    assert result.exit_code == 2
    assert f"{more[0]}: allowed with --target tensorrt or tensorrt-rtx, not cpu" in result.output


@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        (MIN_MAX_ROWS - 1, f"greater than or equal to {MIN_MAX_ROWS}"),
        (MAX_ROWS + 1, f"less than or equal to {MAX_ROWS}"),
    ],
)
def test_rows_with_which_no_server_draws_are_refused(rows: int, allowed: str) -> None:
    arguments = ["export", "weights", "--target", "tensorrt-rtx", "--rows", str(rows)]
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert f"'--rows': Input should be {allowed}" in result.output


class PretendedBuilder:
    """Writes the graph's name as the plan, or fails at one graph."""

    def __init__(self) -> None:
        self.fails_at = ""
        self.compared: list[str] = []

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int:
        if graph.name == self.fails_at:
            raise BuildError(f"{graph.name}: TensorRT built no engine")
        target.write_bytes(graph.name.encode())
        return plan.attention_plugins

    def check(self, source: Path, names: Mapping[str, str], metadata: EngineMetadata) -> None:
        assert source.with_name(metadata.plan).is_file()
        self.compared.append(metadata.plan)


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch, repository: Path) -> PretendedBuilder:
    """A machine on which plans can be built, as far as the command can tell."""
    here = GpuMachine(gpu="NVIDIA H200", capability="9.0", tensorrt="11.4.0.106")
    monkeypatch.setattr(lafi_export.tensorrt_command, "gpu_machine", lambda: here)
    monkeypatch.setattr(lafi_export.tensorrt_command, "register_attention_plugin", lambda sm: None)
    build = PretendedBuilder()
    monkeypatch.setattr(lafi_export.tensorrt_command, "build_engine", build)
    monkeypatch.setattr(lafi_export.tensorrt_command, "check_engine", build.check)
    # As for a large model: the comparison of the ONNX files is the business of other tests.
    monkeypatch.setattr(lafi_export.repository, "LARGE", 1000)

    def copy(graph: Graph, path: Path, _: Sequence[PartWeights]) -> tuple[str, ...]:
        shutil.copy(repository / "artifacts" / graph.file, path)
        return load_model_info(repository / "artifacts").onnx_weights[graph.file]

    monkeypatch.setattr(lafi_export.artifacts, "export_graph", copy)
    return build


def test_one_command_from_a_checkpoint_to_plans(
    checkpoint: Path, tmp_path: Path, pretended_gpu: PretendedBuilder
) -> None:
    out = tmp_path / "out"
    console = Console(record=True, width=200, file=io.StringIO())
    code = build_command(checkpoint, out, sides=(32, 64, 128), rows=6, console=console)
    text = console.export_text()
    assert code == 0, text
    assert "denoiser.plan: f16, NVIDIA H200" in text
    # Every engine is compared with its ONNX file.
    assert pretended_gpu.compared == list(PLANS.values())
    # What the server takes as the most rows of one call.
    denoiser = load_engine_metadata(out / "artifacts" / "denoiser.plan")
    assert denoiser_row_counts(denoiser) == (1, 2, 4, 6)
    info = tensorrt_model_info(out / "artifacts")
    assert (info.engine, info.precision) == ("tensorrt", "f16")
    for name in ("text_encoder", "vae_encoder", "vae_decoder"):
        assert (out / "models" / name / "1" / "model.plan").is_file()

    before = sorted(out.rglob("*"))
    pretended_gpu.fails_at = "vae_decoder.onnx"
    assert build_command(checkpoint, out, sides=(32, 64, 128), console=console) == 1
    assert "error: vae_decoder.onnx: TensorRT built no engine" in console.export_text()
    assert sorted(out.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [out]
