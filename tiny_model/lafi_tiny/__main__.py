"""`python -m lafi_tiny STAGE`: one seeded command per training stage.

Every training stage resumes where it was stopped."""

import json
from pathlib import Path

import typer
from rich.progress import track

from lafi_tiny.architecture import BUNDLED
from lafi_tiny.dataset import CHUNK, DatasetSpec, render_dataset
from lafi_tiny.stages.commands import app as new_model

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(new_model)
FOLDER = typer.Option(Path("out/tiny_model"), help="Where the stages keep their state.")
WEIGHTS = typer.Option(Path("tiny_model/weights"), help="The packed model.")


@app.command()
def data(folder: Path = FOLDER, count: int = 60000, workers: int = 2, seed: int = 0) -> None:
    """Render the training pictures."""
    chunks = render_dataset(DatasetSpec(seed=seed), count, folder / "pictures", workers)
    for _ in track(chunks, description="pictures", total=count // CHUNK):
        pass


@app.command()
def vae(folder: Path = FOLDER, steps: int = 1600, batch: int = 32) -> None:
    """Train the autoencoder."""
    from lafi_tiny.train_vae import VaeTraining, train_vae

    train_vae(BUNDLED, VaeTraining(steps=steps, batch=batch), folder)


@app.command()
def decoder(
    folder: Path = FOLDER, steps: int = 800, batch: int = 24, threads: int = 0, rate: float = 1e-3
) -> None:
    """Train the decoder on; the latents stay, so this may run beside the denoiser's training."""
    import torch

    from lafi_tiny.train_vae import VaeTraining, refine_decoder

    if threads:
        torch.set_num_threads(threads)
    refine_decoder(BUNDLED, VaeTraining(steps=steps, batch=batch, peak_rate=rate), folder)


@app.command()
def denoiser(folder: Path = FOLDER, steps: int = 8000, batch: int = 32, workers: int = 1) -> None:
    """Train the UNet with its text encoder; on a CPU with a worker for every core."""
    from functools import partial

    from lafi_tiny.team import run_team
    from lafi_tiny.train_denoiser import DenoiserTraining, train_denoiser

    settings = DenoiserTraining(steps=steps, batch=batch)
    run_team(partial(train_denoiser, BUNDLED, settings, folder), workers, folder)


@app.command()
def reader(folder: Path = FOLDER, steps: int = 2500, threads: int = 0) -> None:
    """Train the reader of attributes and joint angles, and print its floor."""
    import torch

    from lafi_tiny.train_reader import ReaderTraining, measure_floor, train_reader

    if threads:
        torch.set_num_threads(threads)
    train_reader(BUNDLED, ReaderTraining(steps=steps), folder)
    for name, value in measure_floor(BUNDLED, folder).items():
        typer.echo(f"{name:20} {value:.3f}")


@app.command()
def recogniser(
    folder: Path = FOLDER,
    weights: Path = WEIGHTS,
    steps: int = 800,
    pictures: int = 6000,
    rate: float = 2e-3,
    workers: int = 2,
    student_only: bool = False,
) -> None:
    """Train the recognisers of characters, teacher and student together or the student on."""
    from functools import partial

    from lafi_tiny.team import run_team
    from lafi_tiny.train_recogniser import RecogniserTraining, train_recognisers, train_student

    settings = RecogniserTraining(steps=steps, pictures=pictures, peak_rate=rate)
    work = train_student if student_only else train_recognisers
    folder.mkdir(parents=True, exist_ok=True)
    run_team(partial(work, settings, folder, weights), workers, folder)


@app.command()
def describer(folder: Path = FOLDER, weights: Path = WEIGHTS, steps: int = 2000) -> None:
    """Train the recogniser's text tower, which turns descriptions into such embeddings."""
    from lafi_tiny.train_describer import DescriberTraining, train_describer

    train_describer(DescriberTraining(steps=steps), folder, weights)


@app.command()
def export_recogniser(
    folder: Path = FOLDER,
    weights: Path = WEIGHTS,
    out: Path = Path("tiny_model/recogniser"),
    note: str = typer.Option("", help="How they were trained; goes into recogniser.json."),
) -> None:
    """Write both recognisers as ONNX and `recogniser.json` with their threshold."""
    from lafi_tiny.export_recogniser import export_recognisers

    typer.echo(json.dumps(export_recognisers(folder, weights, out, note), indent=2))


@app.command()
def evaluate(folder: Path = FOLDER, panels: int = 64, twins: int = 64) -> None:
    """Draw held-out captions and twins without injection and read them."""
    from lafi_tiny.evaluate import Evaluation
    from lafi_tiny.evaluate import evaluate as run

    figures = run(Evaluation(panels=panels, twins=twins), folder)
    text = json.dumps(figures, indent=2)
    (folder / "evaluation.json").write_text(text + "\n")
    typer.echo(text)


@app.command()
def pack(folder: Path = FOLDER, out: Path = Path("tiny_model/weights")) -> None:
    """Write the trained model as a `StableDiffusionPipeline` folder in float16, and the reader."""
    from lafi_tiny.pack import pack_model

    size = pack_model(folder, out)
    typer.echo(f"{out}: {size / 2**20:.1f} MiB")


@app.command()
def unpack(folder: Path = FOLDER, weights: Path = Path("tiny_model/weights")) -> None:
    """Make training state of the packed model, to train it on."""
    from lafi_tiny.pack import unpack_model

    unpack_model(weights, folder)


if __name__ == "__main__":
    app()
