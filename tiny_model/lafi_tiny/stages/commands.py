"""`python -m lafi_tiny`: train the bundled model, measure it and write its files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lafi_tiny.stages.stage_folder import training_folder

if TYPE_CHECKING:
    from lafi_tiny.stages.bundled import Bundled

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
FOLDER = typer.Option(
    None, help="Where the stages keep their state; default: LAFI_TRAINING, else out/training."
)

MODEL = typer.Option("denoiser", help="Which model: denoiser or transformer.")
OUT = typer.Argument(None, help="Where it is packed; default: its place in tiny_model.")
WEIGHTS = typer.Argument(Path("tiny_model/weights"), help="The packed model.")


@app.command()
def train_all(folder: Path | None = FOLDER, cores: int = 2) -> None:
    """Train the model: every stage in its order, each where it stopped."""
    from lafi_tiny.stages.train_all import train_all as run

    run(folder or training_folder(), cores)


@app.command()
def stage(name: str, folder: Path | None = FOLDER, cores: int = 2) -> None:
    """One stage alone."""
    from lafi_tiny.stages.train_all import STAGES

    if name not in STAGES:
        raise typer.BadParameter(f"name: got {name!r}, allowed: {', '.join(STAGES)}")
    STAGES[name](folder or training_folder(), cores)


@app.command()
def finish_denoiser(folder: Path | None = FOLDER, steps: int = 4000, model: str = MODEL) -> None:
    """Let the running denoiser's learning rate fall to nothing over its next steps."""
    from lafi_tiny.stages.train_denoiser import plan_finish

    files = _bundled(model).files
    typer.echo(json.dumps(plan_finish(folder or training_folder(), steps, files)))


@app.command()
def plot(out: Path, folder: Path | None = FOLDER, model: str = MODEL) -> None:
    """Draw the curve of a model's figures into a PNG."""
    from lafi_tiny.stages.curve import read_curve
    from lafi_tiny.stages.curve_plot import plot_curve

    files = _bundled(model).files
    plot_curve(read_curve(folder or training_folder(), files.curve), out)


@app.command()
def evaluate(
    folder: Path | None = FOLDER, panels: int = 128, twins: int = 128, model: str = MODEL
) -> None:
    """All figures of the best checkpoint so far, without injection, on held-out combinations."""
    from lafi_tiny.stages.score import ScoreSizes

    sizes = ScoreSizes(panels=panels, twins=twins)
    figures = _bundled(model).evaluate(folder or training_folder(), sizes)
    typer.echo(json.dumps(figures, indent=2))


@app.command()
def pack(
    out: Path | None = OUT,
    folder: Path | None = FOLDER,
    model: str = MODEL,
) -> None:
    """Write the best checkpoint as a folder that diffusers' pipeline loads.

    The denoiser's is a `StableDiffusionPipeline`, with the reader beside it, the transformer's a
    `ZImagePipeline`.
    """
    packed = _bundled(model)
    place = out or packed.out
    size = packed.pack(folder or training_folder(), place)
    typer.echo(f"{place}: {size / 2**20:.1f} MiB")


@app.command()
def unpack(weights: Path = WEIGHTS, folder: Path | None = FOLDER) -> None:
    """Make training state of the packed model, to train it on."""
    from lafi_tiny.stages.blueprint import BLUEPRINT
    from lafi_tiny.stages.pack import unpack_model

    unpack_model(BLUEPRINT, weights, folder or training_folder())


@app.command()
def export_recogniser(
    folder: Path | None = FOLDER,
    out: Path = Path("tiny_model/recogniser"),
    note: str = typer.Option("", help="How it was trained; goes into recogniser.json."),
    teacher: bool = typer.Option(False, help="The teacher too, to measure it beside the student."),
) -> None:
    """Write what the stage `recogniser` left as ONNX, and `recogniser.json` with its threshold."""
    from lafi_tiny.stages.stage_folder import RECOGNISER
    from lafi_tiny.stages.tokenizer import stage_tokenizer
    from lafi_tiny.who.export_recogniser import ROLES, SHIPPED, export_recognisers

    state = folder or training_folder()
    roles = ROLES if teacher else SHIPPED
    card = export_recognisers(state / RECOGNISER, stage_tokenizer(state), out, note, roles)
    typer.echo(json.dumps(card, indent=2))


@app.command()
def sheet(
    out: Path, kinds: str = "single", count: int = 40, seed: int = 0, side: int = 128
) -> None:
    """Draw a sheet of the data set's pictures, to look at; kinds separated by commas."""
    from lafi_tiny.stages.sheet import draw_sheet

    draw_sheet(out, tuple(kinds.split(",")), count, seed, side)


def _bundled(name: str) -> "Bundled":
    from lafi_tiny.stages.bundled import bundled

    try:
        return bundled(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
