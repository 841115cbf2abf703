"""`lafi draw --attach`, `--detach`, `lafi queue` and `lafi cancel`; each returns the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lafi.board.error import StoryboardError
from lafi.origin.made import made_by
from lafi.origin.signing import Signing
from lafi.wire.control import QueueEntry
from lafi.wire.events import Failed, PanelImage, Portrait
from lafi_client.access import Access
from lafi_client.client import StoryboardClient
from lafi_client.drawing_folder import panel_file, portrait_file, write_whole
from lafi_client.errors import LafiError, StoryboardRefused, StoryboardUnknown
from lafi_client.exit_codes import (
    BAD_STORYBOARD,
    DRAWN,
    INTERRUPTED,
    PANELS_FAILED,
    SERVER_UNAVAILABLE,
    fail,
    worst,
)
from lafi_client.retry import RETRIES
from lafi_client.story_file import Overrides, load_story


def attach(
    identifier: str,
    out: str | Path,
    url: str,
    *,
    timeout: float | None = 3600.0,
    idle_timeout: float = 60.0,
    retries: int = RETRIES,
    access: Access | None = None,
    signing: Signing | None = None,
    console: Console | None = None,
) -> int:
    """Write the pictures of a storyboard that was accepted before, as they come, into `out`.

    signing: who signs them; None: nobody.

    Returns 0 if all came, 2 for an id that the server does not know, 3 if it does not answer, 4 if
    some panels failed, 130 if interrupted.
    """
    console = console or Console(stderr=True)
    folder, errors = Path(out), dict[int, str]()
    try:
        with (
            StoryboardClient(
                url,
                timeout=timeout,
                idle_timeout=idle_timeout,
                retries=retries,
                **(access or Access()).options(url),
            ) as client,
            closing(client.attach(identifier)) as events,
        ):
            for event in events:
                match event:
                    case PanelImage():
                        _write(folder / panel_file(event.panel), event.png, signing)
                        _say(console, f"panel {event.panel}{'  kept' if event.kept else ''}")
                    case Portrait():
                        _write(folder / portrait_file(event.character), event.png, signing)
                    case Failed(panel=int(number)):
                        errors[number] = event.error
    except (StoryboardError, StoryboardRefused, StoryboardUnknown, ValueError) as error:
        return fail(console, BAD_STORYBOARD, error)
    except (LafiError, OSError) as error:
        return fail(console, SERVER_UNAVAILABLE, error)
    except KeyboardInterrupt:
        return fail(console, INTERRUPTED, "interrupted; attach again for what is missing")
    for number, error_text in sorted(errors.items()):
        fail(console, PANELS_FAILED, f"panel {number}: {error_text}")
    return PANELS_FAILED if errors else DRAWN


def _write(path: Path, png: bytes, signing: Signing | None) -> None:
    if signing is not None:
        png = signing.signed(png, path.name, [made_by(png, path.name)])
    write_whole(path, png)


def submit(
    stories: Sequence[Path],
    url: str,
    *,
    overrides: Overrides | None = None,
    access: Access | None = None,
    console: Console | None = None,
    said: Callable[[str], None] = print,
) -> int:
    """Have storyboards drawn without waiting; prints an id for each. Exit codes as of `attach`."""
    console, codes = console or Console(stderr=True), [DRAWN]
    try:
        with StoryboardClient(url, **(access or Access()).options(url)) as client:
            for path in stories:
                try:
                    said(client.submit(load_story(path, overrides)))
                except (StoryboardError, StoryboardRefused, ValueError, OSError) as error:
                    codes.append(fail(console, BAD_STORYBOARD, f"{path}: {error}"))
    except ValueError as error:
        return fail(console, BAD_STORYBOARD, error)
    except LafiError as error:
        return fail(console, SERVER_UNAVAILABLE, error)
    return worst(codes)


def cancel(
    identifier: str, url: str, *, access: Access | None = None, console: Console | None = None
) -> int:
    """Stop a storyboard. Returns 0, 2 for an id that is not known, 3 if no server answers."""
    console = console or Console()
    return _ask(url, access, console, lambda client: client.cancel(identifier), "cancelled")


def queue(url: str, *, access: Access | None = None, console: Console | None = None) -> int:
    """Show the storyboards in flight. Returns 0, or 3 if no server answers."""
    console = console or Console()
    return _ask(url, access, console, lambda client: _show(console, client.queue()))


def _ask(
    url: str,
    access: Access | None,
    console: Console,
    ask: Callable[[StoryboardClient], None],
    done: str = "",
) -> int:
    try:
        with StoryboardClient(url, **(access or Access()).options(url)) as client:
            ask(client)
    except (StoryboardError, StoryboardRefused, StoryboardUnknown, ValueError) as error:
        return fail(console, BAD_STORYBOARD, error)
    except LafiError as error:
        return fail(console, SERVER_UNAVAILABLE, error)
    if done:
        _say(console, done)
    return DRAWN


def _show(console: Console, entries: Sequence[QueueEntry]) -> None:
    table = Table("place", "id begins with", "state", "panels", "for", "done in about")
    for entry in entries:
        left = entry.expected_seconds
        table.add_row(
            str(entry.place),
            entry.id,
            f"{entry.state}, detached" if entry.detach else entry.state,
            f"{entry.sent} of {entry.panels}",
            f"{entry.seconds:.0f} s",
            "not known yet" if left is None else f"{left:.0f} s",
        )
    console.print(table)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
