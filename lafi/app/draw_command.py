"""`lafi draw`: storyboards drawn by a running server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.critic_options import Candidates, Changes, CriticName, Judges, critic_options
from lafi.app.drawing_options import (
    DEFAULT_URL,
    Attach,
    Detach,
    DrawingOut,
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
    Upscale,
    Url,
    chosen_settings,
)
from lafi.app.refused import said_why
from lafi.app.signing_options import SignCertificate, SignKey, signing_of
from lafi.app.story_command import Llm, LlmModel, LlmPrice, LlmTimeout, Record, Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lafi.origin.signing import Signing
    from lafi_client.access import Access

app = typer.Typer()


@app.command()
def draw(
    stories: Stories = None,
    out: DrawingOut = Path("out/draw"),
    url: Url = DEFAULT_URL,
    panel: Panels = None,
    name: PanelName = "",
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    upscale: Upscale = None,
    trigger: Trigger = "",
    negative_file: NegativeFile = None,
    preview: TerminalPreviews = False,
    stage_previews: StagePreviews = False,
    from_stage: FromStage = None,
    overwrite: Overwrite = False,
    timeout: Timeout = 3600.0,
    idle_timeout: IdleTimeout = 60.0,
    retries: Retries = 30,
    detach: Detach = False,
    attach: Attach = None,
    critic: CriticName = "",
    candidates: Candidates = 1,
    changes: Changes = None,
    llm: Llm = "",
    llm_model: LlmModel = "",
    llm_timeout: LlmTimeout = 300.0,
    llm_price: LlmPrice = "",
    record: Record = None,
    replay: Replay = None,
    sign_key: SignKey = None,
    sign_certificate: SignCertificate = None,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Draw storyboards with a running server."""
    shown = panel or name or preview or stage_previews or from_stage or overwrite or critic
    _check_coming_back(stories, attach, detach, shown=bool(shown))
    if critic and from_stage:
        raise typer.BadParameter("--critic and --from-stage: one of them")
    patience: dict[str, Any] = {"timeout": timeout, "idle_timeout": idle_timeout}
    patience |= {"access": access_of(api_key, tls_ca, tls_certificate, tls_key)}
    patience |= {"retries": retries, "signing": _signing(sign_key, sign_certificate, detach)}
    drawing: dict[str, Any] = {"name": name, "panels": panel or None, "previews": preview}
    drawing |= {"stage_previews": stage_previews, "from_stage": from_stage}
    drawing |= {"out": out, "url": url, "overwrite": overwrite, **patience}
    changed = (recipe, recipes, chosen_settings(settings, upscale), trigger, negative_file)
    asked = (llm, llm_model, record, replay, llm_timeout, llm_price)
    with said_why():
        judges = critic_options(critic, candidates, changes, asked)
        if attach:
            raise typer.Exit(_attach(attach, out, url, patience))
        if detach:
            raise typer.Exit(_submit(stories or (), url, changed, patience["access"]))
        raise typer.Exit(_draw(stories or (), changed, judges, drawing))


def _draw(
    stories: Sequence[Path], changed: tuple[Any, ...], judges: Judges, drawing: dict[str, Any]
) -> int:
    from lafi_client.commands import draw as draw_command
    from lafi_client.story_file import Overrides

    with judges.critique(drawing["out"]) as critique:
        return draw_command(stories, overrides=Overrides(*changed), critique=critique, **drawing)


def _attach(identifier: str, out: Path, url: str, patience: dict[str, Any]) -> int:
    from lafi_client.control_commands import attach as attach_command

    return attach_command(identifier, out, url, **patience)


def _submit(stories: Sequence[Path], url: str, changed: tuple[Any, ...], access: Access) -> int:
    from lafi_client.control_commands import submit
    from lafi_client.story_file import Overrides

    return submit(stories, url, overrides=Overrides(*changed), access=access)


def _signing(key: Path | None, certificate: Path | None, detach: bool) -> Signing | None:
    signing = signing_of(key, certificate)
    if detach and signing:
        typer.echo("note: --attach signs what it fetches; give it the same key", err=True)
    return signing


def _check_coming_back(
    stories: list[Path] | None, attach: str | None, detach: bool, *, shown: bool
) -> None:
    """Refuse options that --attach and --detach would leave unused."""
    if bool(attach) == bool(stories) or (attach and detach):
        raise typer.BadParameter("give storyboards, or --attach with an id and no storyboard")
    if shown and (attach or detach):
        raise typer.BadParameter(
            "--panel, --name, --previews, --stage-previews, --from-stage, --overwrite and --critic "
            "are not for --attach and --detach: all panels come, under their numbers"
        )
