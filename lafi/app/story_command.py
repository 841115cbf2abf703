"""`lafi story`: the text of a novel to a storyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.missing import missing
from lafi.board.limits import MAX_PANELS

app = typer.Typer()


@app.command()
def story(
    novel: Annotated[
        str,
        typer.Argument(
            metavar="NOVEL", help="A text file, English or Chinese; - for standard input."
        ),
    ],
    out: Annotated[str, typer.Option(help="The storyboard's file; - for standard output.")],
    panels: Annotated[
        int, typer.Option(min=0, max=MAX_PANELS, help="The most panels; 0: as the text has, to 24.")
    ] = 0,
    title: Annotated[str, typer.Option(help="Default: the name of the file.")] = "",
    encoding: Annotated[str, typer.Option(help="Such as gb18030; default: found out.")] = "",
    vocabulary: Annotated[
        Path | None, typer.Option(help="Words of another model than the bundled one.")
    ] = None,
    steps: Annotated[
        Path | None, typer.Option(help="Folder of the steps, to edit; default: beside --out.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Even if --out was changed by hand.")
    ] = False,
) -> None:
    """Plan a storyboard from a story, by rules, on this machine."""
    try:
        from lafi_story.command import story as story_command

        code = story_command(
            novel,
            out,
            panels=panels,
            title=title,
            encoding=encoding,
            vocabulary=vocabulary,
            steps=steps,
            overwrite=overwrite,
        )
    except ModuleNotFoundError as error:
        raise missing(error, "story") from None
    raise typer.Exit(code)
