"""`lafi page`: drawn panels to the pages of a comic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.missing import needs
from lafi.app.signing_options import SignCertificate, SignKey, signing_of

app = typer.Typer()

Layout = Annotated[
    str, typer.Option(help="grid; free: large panels beside small ones; webtoon: one long strip.")
]
Order = Annotated[str, typer.Option(help="ltr, or rtl: read from right to left.")]
Size = Annotated[
    str,
    typer.Option(help="a4, a5, b5 or letter; default: a4; none for webtoon.", show_default=False),
]
Formats = Annotated[
    str, typer.Option("--format", help="Of png, pdf, cbz, svg, with commas between.")
]
Captions = Annotated[
    str, typer.Option(help="sentence: what a panel shows, as narration; none: speech only.")
]
Font = Annotated[Path | None, typer.Option(help="A font file that is tried before Noto Sans.")]


@app.command()
def page(
    drawing: Annotated[
        Path, typer.Argument(metavar="DRAWING", help="A folder that `lafi draw` wrote.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pages.")],
    story: Annotated[
        Path | None,
        typer.Option(help="story.yaml of `lafi story`, or its folder of steps: for the text."),
    ] = None,
    layout: Layout = "grid",
    order: Order = "ltr",
    size: Size = "",
    formats: Formats = "png",
    captions: Captions = "sentence",
    font: Font = None,
    sign_key: SignKey = None,
    sign_certificate: SignCertificate = None,
) -> None:
    """Lay out drawn panels on pages, with speech balloons and captions."""
    signing = signing_of(sign_key, sign_certificate)
    with needs("story"):
        from lafi_story.pages.command import page as page_command

        code = page_command(
            drawing,
            out,
            story=story,
            layout=layout,
            order=order,
            size=size,
            formats=formats,
            captions=captions,
            font=font,
            signing=signing,
        )
    raise typer.Exit(code)
