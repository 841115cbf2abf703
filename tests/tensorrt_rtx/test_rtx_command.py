"""`lafi export --target tensorrt-rtx`: its options, and published architectures as a whole."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import lafi_export.tensorrt_command
from benchmarks.tensorrt_rtx import build_published
from lafi.app.cli import app
from lafi.app.export_options import DEFAULT_CAPABILITIES, Capability
from lafi.app.machine import available_memory
from lafi.engine.tensorrt.engines import PLANS, tensorrt_model_info
from lafi.model.artifacts import FILES
from lafi.model.engine_metadata import RTX_CAPABILITIES, load_engine_metadata, rebuild
from lafi_export.tensorrt_command import build_command
from lafi_export.tensorrt_plan import BuildOptions
from lafi_kernels.tensorrt_module import TensorRTMissing

RTX = BuildOptions(builder="tensorrt-rtx", capabilities=("SM89",), attention="body")
BUILT = pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")


def told(arguments: list[str]) -> tuple[int, str]:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    result = runner.invoke(app, ["export", "weights", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--target", "tensorrt-rtx", "--capability", "SM90"], "got 'SM90', allowed SM75, SM80"),
        (["--target", "tensorrt-rtx", "--capability", "SM89,"], "got '', allowed SM75, SM80"),
        (["--target", "tensorrt", "--capability", "SM89"], "allowed with --target tensorrt-rtx"),
        (["--capability", "SM89"], "--capability: allowed with --target tensorrt-rtx, not cpu"),
        (["--target", "tensorrt-rtx", "--precision", "bf16"], "with --target cpu, not tensorrt"),
        (["--target", "tensorrt-rtx", "--variant", "a=b"], "--variant: allowed with --target cpu"),
    ],
    ids=["not built for", "nothing", "other builder", "no builder", "precision", "variant"],
)  # fmt: skip
def test_options_that_do_not_go_together(arguments: list[str], error: str) -> None:
    code, output = told(arguments)
    assert code == 2
    assert error in output


def test_the_options_lead_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[BuildOptions] = []

    def build(checkpoint: Path, out: Path, *, options: BuildOptions, **_: object) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(lafi_export.tensorrt_command, "build_command", build)
    for more in (
        [],
        ["--capability", "SM89", "--capability", "SM120", "--capability", "SM89"],
        ["--capability", "SM89,SM120"],
    ):
        assert told(["--target", "tensorrt-rtx", *more])[0] == 0
    assert [options.capabilities for options in asked] == [
        DEFAULT_CAPABILITIES,
        ("SM89", "SM120"),
        ("SM89", "SM120"),
    ]
    assert {options.builder for options in asked} == {"tensorrt-rtx"}


def test_what_an_error_tells_to_run_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[BuildOptions] = []

    def build(checkpoint: Path, out: Path, *, options: BuildOptions, **_: object) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(lafi_export.tensorrt_command, "build_command", build)
    for builder in ("tensorrt", "tensorrt-rtx"):
        line = rebuild(builder, "8.6", "12.0").partition("with: lafi ")[2]
        assert CliRunner().invoke(app, line.split()).exit_code == 0, line
    assert [options.builder for options in asked] == ["tensorrt", "tensorrt-rtx"]
    assert asked[1].capabilities == ("SM86", "SM120")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"capabilities": ()}, "capability: got none, allowed SM75"),
        ({"capabilities": ("SM90",)}, "capability: got SM90, allowed SM75"),
        ({"attention": "plugin"}, "attention: got 'plugin', allowed 'body' with tensorrt-rtx"),
        ({"refit": True}, "refit, strip: allowed with tensorrt alone"),
        ({"builder": "tensorrt"}, "capability: allowed with --target tensorrt-rtx alone"),
    ],
)
def test_a_plan_that_cannot_be(options: dict[str, object], error: str) -> None:
    chosen = {"builder": "tensorrt-rtx", "capabilities": ("SM89",), "attention": "body"}
    with pytest.raises(ValueError, match=error):
        BuildOptions(**(chosen | options))  # type: ignore[arg-type]


def test_the_builder_knows_every_capability() -> None:
    named = set(BUILT.ComputeCapability.__members__) - {"NONE", "CURRENT"}
    assert named == set(RTX_CAPABILITIES) == set(Capability)


def test_without_the_package_nothing_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> None:
        raise TensorRTMissing("tensorrt-rtx: cannot be imported (no); install it with: pip")

    monkeypatch.setattr(lafi_export.tensorrt_command, "import_tensorrt_rtx", missing)
    console = Console(record=True, width=200, file=io.StringIO())
    assert build_command(tmp_path / "no", tmp_path / "out", options=RTX, console=console) == 1
    assert console.export_text().startswith("error: tensorrt-rtx: cannot be imported")
    assert list(tmp_path.iterdir()) == []


def built(checkpoint: Path, out: Path, precision: str) -> list[str]:
    """Capabilities of all plans, in their order."""
    console = Console(record=True, width=200, file=io.StringIO())
    code = build_command(checkpoint, out, options=RTX, sides=(64, 128, 128), console=console)
    text = console.export_text()
    assert code == 0, text
    assert f"denoiser.plan: {precision}, compute capability 8.9" in text
    info = tensorrt_model_info(out / "artifacts")
    assert (info.engine, info.precision) == ("tensorrt-rtx", precision)
    plans = [load_engine_metadata(out / "artifacts" / plan) for plan in PLANS.values()]
    vaes = {plan.precision for plan in plans if plan.plan.startswith("vae")}
    assert vaes == {"f32"}
    return [metadata.capability for metadata in plans]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [
        *((name, "f16") for name in ("sd15", "sd21", "sdxl")),
        *((name, "bf16") for name in ("zimage", "flux", "sd3", "pixart", "hunyuan")),
    ],
)
def test_published_architectures_with_small_widths(
    name: str, precision: str, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    plans = built(small_checkpoints(name), tmp_path / "out", precision)
    assert plans == ["8.9"] * len(PLANS)


GIGABYTES = {"sd15": 12, "sdxl": 24}
"""Memory that a build wants, the export before it included."""


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_published_architectures_at_full_size(name: str) -> None:
    """Minutes of a core. `benchmarks/tensorrt_rtx.py --models sd15-full` writes the figures."""
    free = available_memory()
    if free is None or free < GIGABYTES[name] * 2**30:
        pytest.skip(f"{name}: {GIGABYTES[name]} GiB of memory are wanted")
    engines = build_published(f"{name}-full", ("SM89",), list(FILES))
    assert list(engines) == [f"{name}-full/{file}" for file in FILES]
    for engine, one in engines.items():
        print(engine, one)
        assert one.layers < one.exported_layers
        assert one.memory_megabytes > one.megabytes > 10
