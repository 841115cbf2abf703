"""`lafi edit`, `lafi polish`, `lafi adopt`: panels of a storyboard's file are changed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.drawing_options import (
    PanelName,
    Recipe,
    Recipes,
    Settings,
    Upscale,
    chosen_settings,
)
from lafi.app.refused import said_why
from lafi.app.signing_options import SignCertificate, SignKey, signing_of
from lafi.app.story_command import (
    Llm,
    LlmModel,
    LlmPrice,
    LlmTimeout,
    Record,
    Replay,
    StoryVocabulary,
)

if TYPE_CHECKING:
    from lafi_client.critique_log import CritiqueLog
    from lafi_story.editing.command import Work

app = typer.Typer()

_DRAWN = "panels"
"""The folder in which `lafi comic` keeps panels, beside its storyboard."""

Story = Annotated[
    Path, typer.Argument(metavar="STORYBOARD", help="Its file, YAML or JSON; it is changed.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be changed, and change nothing.")
]


Number = Annotated[int, typer.Argument(min=0, help="The panel's number, counted from 0.")]
Wish = Annotated[
    str, typer.Argument(help="What to change, such as 'make it night', 'Mia runs', '特写'.")
]
Server = Annotated[str, typer.Option(help="HOST:PORT of a server that draws the panel again.")]
Drawing = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the drawing; default: `panels` beside the file, as `lafi comic` has it, "
        "else out/draw.",
    ),
]


@app.command()
def edit(
    story: Story,
    panel: Number,
    wish: Wish,
    server: Server = "",
    out: Drawing = None,
    dry_run: DryRun = False,
    vocabulary: StoryVocabulary = None,
    name: PanelName = "",
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    upscale: Upscale = None,
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
    """Change one panel of a storyboard's file by words; with --server, draw it again."""
    _check_drawing(server, (out, name, recipe, recipes, settings, upscale), dry_run)
    signing = signing_of(sign_key, sign_certificate) if server else None
    with said_why(1, "story"):
        from lafi_client.commands import draw
        from lafi_client.story_file import Overrides
        from lafi_story.editing.command import edit as edit_command

        work = _work(dry_run, vocabulary, (llm, llm_model, record, replay, llm_timeout, llm_price))
        edit_command(story, panel, wish, work)
    if not server:
        return
    chosen = chosen_settings(settings, upscale)
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    overrides = Overrides(recipe, recipes, chosen)
    drawn = out or _usual_drawing(story)
    again = partial(draw, story, drawn, server, overrides=overrides, name=name, panels=[panel])
    raise typer.Exit(again(access=access, signing=signing))


def _check_drawing(server: str, options: tuple[object, ...], dry_run: bool) -> None:
    """Refuse options that would have no effect."""
    if not server and any(given not in (None, "", []) for given in options):
        raise typer.BadParameter(
            "--out, --name, --recipe, --recipes, --set and --upscale are for --server alone"
        )
    if server and dry_run:
        raise typer.BadParameter("--server and --dry-run: one of them, as a dry run draws nothing")


def _usual_drawing(story: Path) -> Path:
    beside = story.parent / _DRAWN
    return beside if beside.is_dir() else Path("out/draw")


@app.command()
def polish(
    story: Story,
    panel: Annotated[
        list[int] | None,
        typer.Option("--panel", min=0, help="This panel only, from 0; may be given again."),
    ] = None,
    dry_run: DryRun = False,
    vocabulary: StoryVocabulary = None,
    llm: Llm = "",
    llm_model: LlmModel = "",
    llm_timeout: LlmTimeout = 300.0,
    llm_price: LlmPrice = "",
    record: Record = None,
    replay: Replay = None,
) -> None:
    """Rewrite a storyboard's prompts in the words of the model, within its token length."""
    with said_why(1, "story"):
        from lafi_story.editing.command import polish as polish_command

        work = _work(dry_run, vocabulary, (llm, llm_model, record, replay, llm_timeout, llm_price))
        polish_command(story, work, panel or None)


@app.command()
def adopt(
    story: Story,
    out: Drawing = None,
    dry_run: DryRun = False,
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    upscale: Upscale = None,
) -> None:
    """Put what a critic chose, prompts and seeds, into the storyboard's file."""
    with said_why(1, "story"):
        from lafi_client.critique_log import CritiqueLog
        from lafi_client.story_file import Overrides, load_story
        from lafi_story.editing.command import Work
        from lafi_story.editing.command import adopt as adopt_command

        drawn = out or _usual_drawing(story)
        load = partial(
            load_story, overrides=Overrides(recipe, recipes, chosen_settings(settings, upscale))
        )
        log, board = CritiqueLog(drawn), load(story)
        shown = log.shown(board)
        for number, why in log.left_out.items():
            typer.echo(f"note: panel {number}: left out: {why}", err=True)
        _check_judged(log, drawn)
        adopt_command(story, board, shown, Work(load, dry_run=dry_run))


def _check_judged(log: CritiqueLog, drawn: Path) -> None:
    """Raises StoryboardError where a drawing has nothing for the file."""
    from lafi.board.error import StoryboardError
    from lafi_client.critique_log import CHOSEN_ALREADY, LOG

    reasons = log.left_out.values()
    if log.panels or (reasons and set(reasons) == {CHOSEN_ALREADY}):
        return
    got = f"{drawn / LOG}, which has no judged panel"
    if reasons:
        got = f"{drawn / LOG}, whose judged panels are all left out"
    allowed = "a drawing of this file that was judged (--critic), with the same --recipe and --set"
    raise StoryboardError([f"--out: got {got}, allowed: {allowed}"])


def _work(
    dry_run: bool,
    vocabulary: Path | None,
    llm: tuple[str, str, Path | None, Path | None, float, str],
) -> Work:
    from lafi_client.story_file import load_story
    from lafi_story.editing.command import Work
    from lafi_story.llm.options import LlmOptions

    return Work(load_story, vocabulary, LlmOptions(*llm), dry_run)
