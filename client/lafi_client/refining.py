"""`lafi refine`: a storyboard drawn in rounds, in which panels read what others show."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

from rich.console import Console

from lafi.board.error import StoryboardError
from lafi.board.refinement import Refinement, refined
from lafi.board.storyboard import Storyboard
from lafi.origin.signing import Signing
from lafi.wire.events import PanelImage
from lafi_client.access import Access
from lafi_client.client import StoryboardClient
from lafi_client.commands import Job, connected, draw_one, greet, outdated, say, stage_steps
from lafi_client.drawing_folder import DrawingFolder
from lafi_client.errors import LafiError, StoryboardRefused
from lafi_client.exit_codes import (
    BAD_STORYBOARD,
    INTERRUPTED,
    SERVER_UNAVAILABLE,
    fail,
)
from lafi_client.panel_names import panel_names
from lafi_client.progress import DrawingProgress
from lafi_client.retry import RETRIES
from lafi_client.story_file import Overrides, load_story


def refine(
    story: str | Path,
    out: str | Path,
    url: str = "127.0.0.1:8001",
    *,
    rounds: int = 1,
    refinement: Refinement | None = None,
    overrides: Overrides | None = None,
    name: str = "",
    overwrite: bool = False,
    timeout: float | None = 3600.0,
    idle_timeout: float = 60.0,
    retries: int = RETRIES,
    access: Access | None = None,
    signing: Signing | None = None,
    console: Console | None = None,
) -> int:
    """Draw the storyboard file `story`, then `rounds` times again; the last round goes into `out`.

    Earlier rounds are drawn without enlarging. A server that keeps panels draws only what
    changed when this is called again. Other parameters and exit codes are those of `draw`. A panel
    that fails in an earlier round is read by nobody there, and is drawn in the next one.
    """
    console = console or Console(stderr=True)
    refinement = refinement or Refinement()
    try:
        board = load_story(Path(story), overrides)
        client = connected(url, access, timeout, idle_timeout, retries)
    except (StoryboardError, ValueError, OSError) as error:
        return fail(console, BAD_STORYBOARD, error)
    with client:
        greet(client, url, retries, console)
        again = board
        try:
            for number in range(rounds):
                title = f"round {number + 1} of {rounds + 1}"
                pictures = _drawn(client, _small(again), title, console)
                again = refined(board, pictures, refinement)
                say(console, _told(board, again))
            names = panel_names(name, board, Path(story).stem, datetime.now()) if name else None
            folder = DrawingFolder(Path(out), again, names, signing)
        except (StoryboardRefused, StoryboardError, ValueError, OSError) as error:
            return fail(console, BAD_STORYBOARD, error)
        except LafiError as error:
            return fail(console, SERVER_UNAVAILABLE, error)
        except KeyboardInterrupt:
            return fail(console, INTERRUPTED, "interrupted; the server keeps finished panels")
        return draw_one(
            client, Job(again, folder, outdated(again, folder, overwrite)), console, False
        )


def _drawn(
    client: StoryboardClient, board: Storyboard, title: str, console: Console
) -> dict[int, bytes]:
    """The panels of an earlier round as PNG files."""
    steps = {number: stage_steps(board, number) for number in range(len(board.panels))}
    pictures = {}
    with (
        DrawingProgress(console, title, steps, False) as progress,
        closing(client.events(board)) as events,
    ):
        for event in events:
            if isinstance(event, PanelImage):
                pictures[event.panel] = event.png
            progress.show(event)
    return pictures


def _small(board: Storyboard) -> Storyboard:
    panels = tuple(panel.model_copy(update={"upscale": 1}) for panel in board.panels)
    return board.model_copy(update={"upscale": 1, "panels": panels})


def _told(board: Storyboard, again: Storyboard) -> str:
    """How many panels read others, and what cannot be told apart."""
    pairs = zip(board.panels, again.panels, strict=True)
    reading = sum(len(new.references) > len(old.references) for old, new in pairs)
    text = f"{reading} of {len(board.panels)} panels read others"
    together = sum(
        len(figures := board.figures(panel)) > 1 and not set(figures) <= set(panel.regions)
        for panel in board.panels
    )
    if together:
        text += f"; {together} show several characters without regions and are read by none"
    return text
