"""The `lafi` command: serve, draw, compare, enrol, identify, forget, export, doctor.

Defines options only. Each subcommand imports its code when it runs, so that `lafi draw` works
without torch and without the server.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from lafi.app.drawing_options import (
    DEFAULT_URL,
    FromStage,
    IdleTimeout,
    NegativeFile,
    Overwrite,
    PanelName,
    Panels,
    Recipe,
    Recipes,
    Retries,
    Settings,
    StagePreviews,
    Stories,
    TerminalPreviews,
    Timeout,
    Trigger,
    Url,
)
from lafi.app.export_options import (
    Checkpoint,
    ConfigFolder,
    PartFile,
    Prediction,
    Recogniser,
    Sides,
    TokenizerFolder,
    Variants,
    VariantTriggers,
)

app = typer.Typer(
    name="lafi",
    help="Draws storyboards whose characters look the same in every panel.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")]


RuntimeName = Literal["openvino", "onnxruntime"]
Precision = Literal["f32", "bf16"]
Target = Literal["cpu", "tensorrt"]


def main() -> None:
    """Entry point of the `lafi` script."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lafi {importlib.metadata.version('lafi')}")
        raise typer.Exit


def _missing(error: ModuleNotFoundError, extra: str) -> typer.Exit:
    """Prints which extra installs a missing package. Raises `error` for a module of our own."""
    name = (error.name or "").split(".")[0]
    if name.startswith("lafi"):
        raise error
    wanted = f"lafi[{extra}]" if extra else "lafi"
    typer.echo(
        f"error: the package {name} is not installed; install it with: pip install '{wanted}'",
        err=True,
    )
    return typer.Exit(1)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say it and end."),
    ] = False,
) -> None:
    """Draws storyboards whose characters look the same in every panel."""


@app.command()
def serve(
    repository: Annotated[
        Path, typer.Argument(help="A folder written by `lafi export`.", show_default=False)
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; loopback only, unless you say so.")
    ] = "127.0.0.1",
    grpc_port: Port = 8001,
    http_port: Port = 8000,
    metrics_port: Port = 8002,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads for each engine.", show_default="all cores"),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option(help="Keep the raw log of Triton Server here.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every line of the server's log.")
    ] = False,
) -> None:
    """Serve a model repository with Triton Server until Ctrl-C."""
    try:
        from lafi.server.command import serve_command
    except ModuleNotFoundError as error:
        raise _missing(error, "serve") from None
    code = serve_command(
        repository,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        verbose=verbose,
        threads=threads,
        log_file=log_file,
    )
    raise typer.Exit(code)


@app.command()
def draw(
    stories: Stories,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for panels, contact sheet and report; of several storyboards each gets "
            "a folder below it.",
        ),
    ] = Path("out/draw"),
    url: Url = DEFAULT_URL,
    panel: Panels = None,
    name: PanelName = "",
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    trigger: Trigger = "",
    negative_file: NegativeFile = None,
    preview: TerminalPreviews = False,
    stage_previews: StagePreviews = False,
    from_stage: FromStage = None,
    overwrite: Overwrite = False,
    timeout: Timeout = 3600.0,
    idle_timeout: IdleTimeout = 60.0,
    retries: Retries = 4,
) -> None:
    """Draw storyboards with a running server."""
    try:
        from lafi_client.commands import draw as draw_command
        from lafi_client.story_file import Overrides
    except ModuleNotFoundError as error:
        raise _missing(error, "") from None
    code = draw_command(
        stories,
        out=out,
        url=url,
        overrides=Overrides(recipe, recipes, tuple(settings or ()), trigger, negative_file),
        name=name,
        panels=panel or None,
        previews=preview,
        stage_previews=stage_previews,
        from_stage=from_stage,
        overwrite=overwrite,
        timeout=timeout,
        idle_timeout=idle_timeout,
        retries=retries,
    )
    raise typer.Exit(code)


@app.command()
def compare(
    story: Annotated[Path, typer.Argument(help="A storyboard, YAML or JSON.", show_default=False)],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="FIELD=VALUE,VALUE",
            help="What differs between rows, such as sampling.stages.0.guidance=2,4,6; may be "
            "given again for every combination.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for compare.png.")] = Path(
        "out/compare"
    ),
    url: Url = DEFAULT_URL,
    panel: Panels = None,
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    trigger: Trigger = "",
    negative_file: NegativeFile = None,
    timeout: Timeout = 3600.0,
    idle_timeout: IdleTimeout = 60.0,
    retries: Retries = 4,
) -> None:
    """Draw a storyboard with different settings, side by side in one labelled picture."""
    try:
        from lafi_client.comparison import compare as compare_command
        from lafi_client.story_file import Overrides
    except ModuleNotFoundError as error:
        raise _missing(error, "") from None
    code = compare_command(
        story,
        out=out,
        url=url,
        variations=vary,
        overrides=Overrides(recipe, recipes, tuple(settings or ()), trigger, negative_file),
        panels=panel or None,
        timeout=timeout,
        idle_timeout=idle_timeout,
        retries=retries,
    )
    raise typer.Exit(code)


@app.command()
def enrol(
    character: Annotated[str, typer.Argument(help="A name, such as mia.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Its pictures.", show_default=False)],
    description: Annotated[str, typer.Option(help="What it looks like, in words.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Make a character known to a running server, by pictures and without training."""
    try:
        from lafi_client.identity_commands import enrol as enrol_command
    except ModuleNotFoundError as error:
        raise _missing(error, "") from None
    raise typer.Exit(enrol_command(character, images, url, description=description))


@app.command()
def identify(
    images: Annotated[list[Path], typer.Argument(help="Pictures.", show_default=False)],
    url: Url = DEFAULT_URL,
) -> None:
    """Say which enrolled character is in each picture."""
    try:
        from lafi_client.identity_commands import identify as identify_command
    except ModuleNotFoundError as error:
        raise _missing(error, "") from None
    raise typer.Exit(identify_command(images, url))


@app.command()
def forget(
    character: Annotated[str, typer.Argument(help="A name, such as mia.", show_default=False)],
    url: Url = DEFAULT_URL,
) -> None:
    """Have a running server forget a character."""
    try:
        from lafi_client.identity_commands import forget as forget_command
    except ModuleNotFoundError as error:
        raise _missing(error, "") from None
    raise typer.Exit(forget_command(character, url))


@app.command()
def export(
    checkpoint: Checkpoint = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The model repository to write.")] = Path(
        "out/repository"
    ),
    unet: PartFile = None,
    vae: PartFile = None,
    text_encoder: PartFile = None,
    text_encoder_2: PartFile = None,
    config: ConfigFolder = None,
    tokenizer: TokenizerFolder = None,
    prediction: Prediction = None,
    runtime: Annotated[
        RuntimeName, typer.Option(help="What runs the engines on the CPU.")
    ] = "openvino",
    precision: Annotated[
        Precision,
        typer.Option(help="f32 repeats torch's pixels; bf16 is faster where the CPU has it."),
    ] = "f32",
    denoiser: Annotated[
        bool, typer.Option("--denoiser", help="Also serve the denoiser, for standard tools.")
    ] = False,
    target: Annotated[
        Target, typer.Option(help="tensorrt builds engines for this machine's NVIDIA GPU.")
    ] = "cpu",
    sides: Sides = (256, 512, 1024),
    variant: Variants = None,
    variant_trigger: VariantTriggers = None,
    recogniser: Recogniser = None,
) -> None:
    """Turn a diffusers checkpoint into a model repository, with a parity report."""
    if target == "tensorrt":
        usual = (runtime, precision, denoiser) == ("openvino", "f32", False)
        _export_for_tensorrt(checkpoint, out, sides, recogniser, variant, usual)
    try:
        from lafi_export.command import export_command
        from lafi_export.single_file import SingleFile
    except ModuleNotFoundError as error:
        raise _missing(error, "export") from None
    files = {
        "unet": unet,
        "vae": vae,
        "text_encoder": text_encoder,
        "text_encoder_2": text_encoder_2,
    }
    parts: Any = {part: file for part, file in files.items() if file is not None}
    code = export_command(
        SingleFile(checkpoint, parts, config, tokenizer, prediction),
        out=out,
        runtime=runtime,
        precision=precision,
        denoiser=denoiser,
        variants=variant or (),
        triggers=variant_trigger or (),
        recogniser=recogniser,
    )
    raise typer.Exit(code)


def _export_for_tensorrt(
    checkpoint: Path | None,
    out: Path,
    sides: tuple[int, int, int],
    recogniser: Path | None,
    variant: list[str] | None,
    usual: bool,
) -> NoReturn:
    """usual: whether what is for the CPU alone was left as it is."""
    if not usual:
        raise typer.BadParameter("--runtime, --precision and --denoiser are for the CPU only")
    if variant:
        raise typer.BadParameter(
            f"--variant: got {variant[0]!r}, allowed none with --target tensorrt: plans are "
            "built for the model alone"
        )
    try:
        from lafi_export.tensorrt_command import build_command
    except ModuleNotFoundError as error:
        raise _missing(error, "export") from None
    if checkpoint is None:
        raise typer.BadParameter("CHECKPOINT: --target tensorrt takes a folder alone")
    raise typer.Exit(build_command(checkpoint, out, sides=sides, recogniser=recogniser))


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
    try:
        from lafi_export.check_command import check_command
    except ModuleNotFoundError as error:
        raise _missing(error, "export") from None
    raise typer.Exit(check_command(files, repository))


@app.command()
def doctor(
    repository: Annotated[
        Path | None, typer.Option(help="Also look at this model repository.")
    ] = None,
    grpc_port: Port = 8001,
    http_port: Port = 8000,
    metrics_port: Port = 8002,
) -> None:
    """Say what this machine can do and what is missing (exit 1: it cannot draw)."""
    from lafi.app.doctor import doctor_command

    ports = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
    raise typer.Exit(doctor_command(repository=repository, ports=ports))


if __name__ == "__main__":
    main()
