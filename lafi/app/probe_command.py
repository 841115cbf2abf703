"""`lafi probe`: options only. It imports its code when it runs, as in `lafi.app.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.missing import needs

app = typer.Typer()

_STEPS = 12


@app.command()
def probe(
    checkpoint: Annotated[Path, typer.Argument(help="A diffusers folder.", metavar="CHECKPOINT")],
    story: Annotated[
        Path | None,
        typer.Option(help="A storyboard in the model's own words; every panel shows a character."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Begin no further layer after that; the next call goes on."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<index>.")] = "cpu",
    plot: Annotated[Path | None, typer.Option(help="Also write a picture of the figures.")] = None,
) -> None:
    """Measure what each self-attention does; the presets texture and balanced come from it.

    Writes probe.json into the checkpoint's folder, where drawing and exporting find it.
    """
    with needs("export"):
        from lafi.model.checkpoint import CheckpointError
        from lafi.model.probe_report import ProbeError
        from lafi.probe.command import probe_checkpoint
    try:
        with needs("export"):
            report = probe_checkpoint(
                checkpoint,
                story=story,
                minutes=minutes,
                device=device,
                steps=_STEPS,
                say=typer.echo,
            )
            if plot is not None:
                from lafi.probe.plot import plot as draw

                draw(report, plot)
    except (CheckpointError, ProbeError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
