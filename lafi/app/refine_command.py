"""`lafi refine`: a storyboard drawn in rounds, in which panels read what others show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.drawing_options import (
    DEFAULT_URL,
    DrawingOut,
    IdleTimeout,
    NegativeFile,
    Overwrite,
    PanelName,
    Recipe,
    Recipes,
    Retries,
    Settings,
    Timeout,
    Trigger,
    Upscale,
    Url,
    chosen_settings,
)
from lafi.app.missing import needs
from lafi.app.signing_options import SignCertificate, SignKey, signing_of
from lafi.board.further_reference import MAX_FURTHER_REFERENCES
from lafi.board.refinement import MAX_ROUNDS, Refinement

app = typer.Typer()

Story = Annotated[Path, typer.Argument(help="A storyboard, YAML or JSON.", show_default=False)]
Rounds = Annotated[
    int, typer.Option(min=1, max=MAX_ROUNDS, help="How often every panel is drawn again.")
]
Others = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_FURTHER_REFERENCES,
        help="Panels of the round before that a panel reads at most.",
    ),
]
Denoise = Annotated[
    float,
    typer.Option(
        help="1: each round begins with noise; less: with the panel as the round before left it, "
        "such as 0.5."
    ),
]


@app.command()
def refine(
    story: Story,
    rounds: Rounds = 1,
    others: Others = MAX_FURTHER_REFERENCES,
    denoise: Denoise = 1.0,
    out: DrawingOut = Path("out/refine"),
    url: Url = DEFAULT_URL,
    name: PanelName = "",
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    upscale: Upscale = None,
    trigger: Trigger = "",
    negative_file: NegativeFile = None,
    overwrite: Overwrite = False,
    timeout: Timeout = 3600.0,
    idle_timeout: IdleTimeout = 60.0,
    retries: Retries = 30,
    sign_key: SignKey = None,
    sign_certificate: SignCertificate = None,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Draw a storyboard, then again in rounds: each panel also reads what others show.

    A panel reads, beside its characters' references, the nearest panels of the round before in
    which they appear. One with several characters is read only if it gives their regions.
    """
    with needs(""):
        from lafi_client.refining import refine as refine_command
        from lafi_client.story_file import Overrides
    if not 0 < denoise <= 1:
        raise typer.BadParameter(f"--denoise: got {denoise:g}, allowed more than 0, at most 1")
    chosen = chosen_settings(settings, upscale)
    code = refine_command(
        story,
        out,
        url,
        rounds=rounds,
        refinement=Refinement(others, denoise),
        overrides=Overrides(recipe, recipes, chosen, trigger, negative_file),
        name=name,
        overwrite=overwrite,
        timeout=timeout,
        idle_timeout=idle_timeout,
        retries=retries,
        access=access_of(api_key, tls_ca, tls_certificate, tls_key),
        signing=signing_of(sign_key, sign_certificate),
    )
    raise typer.Exit(code)
