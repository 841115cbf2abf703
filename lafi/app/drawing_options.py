"""Command-line options that several client commands share, as types for typer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lafi.board.limits import MAX_STAGES, UPSCALES

Url = Annotated[
    str,
    typer.Option(
        help="HOST:PORT of the server's gRPC; several with commas; dns:///HOST:PORT for all that "
        "the name has.",
        envvar="LAFI_URL",
    ),
]
DEFAULT_URL = "127.0.0.1:8001"

Panels = Annotated[
    list[int] | None,
    typer.Option(
        "--panel", min=0, help="Draw this panel only, counted from 0; may be given again."
    ),
]
Timeout = Annotated[float, typer.Option(min=1, help="Seconds for a whole storyboard.")]
IdleTimeout = Annotated[
    float, typer.Option(min=1, help="Seconds of silence after which the server is given up.")
]
Retries = Annotated[
    int, typer.Option(min=0, max=1000, help="How often to try again what may succeed later.")
]
Recipe = Annotated[
    str | None, typer.Option(help="Named settings to start from, in place of the file's recipe.")
]
Recipes = Annotated[
    Path | None, typer.Option(help="A folder with your own recipes.", envvar="LAFI_RECIPES")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="A field that counts more than the file's, such as sampling.stages.1.denoise=0.5; "
        "may be given again.",
    ),
]
Upscale = Annotated[
    int | None,
    typer.Option(
        help="Enlarge finished panels 2, 3 or 4 times by the repository's upscaler; panels with an "
        "`upscale` of their own keep that.",
        min=1,
        max=max(UPSCALES),
        show_default="the file's",
    ),
]
Trigger = Annotated[str, typer.Option(help="Words to put in front of every prompt.")]
NegativeFile = Annotated[
    Path | None,
    typer.Option(help="More negative lists (YAML), or phrases to add, one a line."),
]
PanelName = Annotated[
    str,
    typer.Option(
        "--name",
        help="Names of panel files, such as {date}/{title}_{panel}; also {time}, {story}, {seed}.",
        show_default="panel_{panel}",
    ),
]
TerminalPreviews = Annotated[
    bool,
    typer.Option("--previews", "--preview", help="Show each panel in the terminal too."),
]
StagePreviews = Annotated[
    bool,
    typer.Option(
        "--stage-previews", help="Also keep a small picture of each panel after each stage."
    ),
]
FromStage = Annotated[
    int | None,
    typer.Option(
        help="Draw again from this stage on (from 1), with what was kept of those before.",
        min=1,
        max=MAX_STAGES,
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Draw everything again, also what is there already."),
]
DrawingOut = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Folder for panels, contact sheet and report; of several storyboards each gets a "
        "folder below it.",
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach", help="Do not wait: print an id, with which --attach fetches the panels."
    ),
]
Attach = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Fetch the panels of a storyboard that is drawn already, or was."
    ),
]
Stories = Annotated[
    list[Path] | None, typer.Argument(help="Storyboards, YAML or JSON.", show_default=False)
]


def chosen_settings(settings: Sequence[str] | None, upscale: int | None) -> tuple[str, ...]:
    """What --set and --upscale say; the latter last, so that it counts more than a --set of it."""
    return (*(settings or ()), *([f"upscale={upscale}"] if upscale is not None else []))
