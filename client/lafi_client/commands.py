"""`lafi draw` as a function with plain parameters; returns the exit code."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.origin.made import made_by
from lafi.origin.signing import Signing
from lafi.wire.events import Event, Failed, Latents, PanelImage, Portrait, Preview
from lafi_client.access import Access
from lafi_client.album import Album, CastMember, PanelEntry, panel_entry
from lafi_client.client import StoryboardClient
from lafi_client.contact_sheet import contact_sheet
from lafi_client.critiquing import Critique
from lafi_client.drawing_folder import DrawingFolder
from lafi_client.errors import LafiError, StoryboardRefused
from lafi_client.exit_codes import (
    BAD_STORYBOARD,
    DRAWN,
    INTERRUPTED,
    PANELS_FAILED,
    SERVER_UNAVAILABLE,
    fail,
    worst,
)
from lafi_client.judged import NO_SCORES, Judged, scoreless
from lafi_client.kept_stages import with_kept_stages
from lafi_client.panel_names import panel_names
from lafi_client.progress import DrawingProgress
from lafi_client.report import report
from lafi_client.retry import RETRIES
from lafi_client.story_file import Overrides, load_story

_SHEET = "contact_sheet.png"


@dataclass
class _Run:
    """The results so far of one call of `draw`."""

    fresh: set[int] = field(default_factory=set)
    errors: dict[int, str] = field(default_factory=dict)
    cast: dict[str, bytes] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Job:
    """One storyboard, the folder for its pictures, and the panels to draw."""

    storyboard: Storyboard
    folder: DrawingFolder
    wanted: list[int]
    judged: Judged | None = None


@dataclass(frozen=True)
class _Manner:
    """What `draw` takes of a storyboard, as it is there."""

    overrides: Overrides | None
    name: str
    panels: Sequence[int] | None
    stage_previews: bool
    from_stage: int | None
    overwrite: bool


def draw(
    story: str | Path | Sequence[str | Path],
    out: str | Path,
    url: str = "127.0.0.1:8001",
    *,
    overrides: Overrides | None = None,
    name: str = "",
    panels: Sequence[int] | None = None,
    previews: bool = False,
    stage_previews: bool = False,
    from_stage: int | None = None,
    overwrite: bool = False,
    timeout: float | None = 3600.0,
    idle_timeout: float = 60.0,
    retries: int = RETRIES,
    access: Access | None = None,
    signing: Signing | None = None,
    critique: Critique | None = None,
    console: Console | None = None,
) -> int:
    """Draw the storyboard file `story` on the server at `url` into the folder `out`.

    Several files are drawn one after another, each into the folder of its name below `out`. Panels
    whose files are there with the same settings are kept, unless `overwrite`. `panels` names those
    to draw again whatever is there; then all others stay as they are. Pictures are written as they
    arrive, named by `name` (see panel_names), at the end contact_sheet.png and report.html; with
    `stage_previews` also a small picture after each stage but the last. What each of several stages
    left is kept, and `from_stage` draws from that stage on, counted from 1. Times are seconds.
    `signing`: who signs every PNG file, also those that are kept and not signed yet. `critique`:
    who judges the panels and has some drawn again; not with `from_stage`.

    Returns 0 if all is drawn, 2 for a bad storyboard or argument, 3 if the server does not answer
    or goes silent, 4 if some panels failed, 5 if all are drawn and some not judged, 130 if
    interrupted; for several files the worst.
    """
    console = console or Console(stderr=True)
    stories = [Path(story)] if isinstance(story, str | Path) else [Path(one) for one in story]
    try:
        folders = _folders(stories, Path(out))
        client = connected(url, access, timeout, idle_timeout, retries)
    except ValueError as error:
        return fail(console, BAD_STORYBOARD, error)
    changed = _Manner(overrides, name, panels, stage_previews, from_stage, overwrite)
    jobs, codes, now = [], [DRAWN], datetime.now()
    for path, folder in zip(stories, folders, strict=True):
        try:
            jobs.append(_job(path, folder, now, changed, signing, critique))
        except (StoryboardError, ValueError, OSError) as error:
            if len(stories) > 1:
                say(console, f"{path}:")
            codes.append(fail(console, BAD_STORYBOARD, error))
    with client:
        greet(client, url, retries if jobs else 0, console)
        if scoreless(client, critique):
            return fail(console, BAD_STORYBOARD, NO_SCORES)
        return worst([*codes, *_each(client, jobs, console, previews)])


def _job(
    path: Path,
    folder: Path,
    now: datetime,
    manner: _Manner,
    signing: Signing | None,
    critique: Critique | None,
) -> Job:
    """Raises StoryboardError, ValueError or OSError."""
    board = load_story(path, manner.overrides)
    if manner.stage_previews:
        board = board.model_copy(update={"stage_previews": True})
    names = panel_names(manner.name, board, path.stem, now) if manner.name else None
    wanted = _checked_numbers(manner.panels or (), board)
    judged = None
    if critique is not None:
        judged = Judged.of(critique, board, folder, wanted, manner.overwrite)
        board = judged.log.shown(board)
    drawing = DrawingFolder(folder, board, names, signing)
    anew = manner.overwrite or manner.from_stage is not None
    wanted = wanted or outdated(board, drawing, anew)
    board = with_kept_stages(board, drawing, wanted, manner.from_stage)
    return Job(board, drawing, wanted, judged)


def _each(
    client: StoryboardClient, jobs: Iterable[Job], console: Console, previews: bool
) -> Iterator[int]:
    """The exit codes of storyboards, one after another, until one is interrupted."""
    for job in jobs:
        code = draw_one(client, job, console, previews)
        yield code
        if code == INTERRUPTED:
            return


def connected(
    url: str, access: Access | None, timeout: float | None, idle_timeout: float, retries: int
) -> StoryboardClient:
    """A client with the settings of `draw`. Raises ValueError for bad ones."""
    return StoryboardClient(
        url,
        timeout=timeout,
        idle_timeout=idle_timeout,
        retries=retries,
        **(access or Access()).options(url),
    )


def greet(client: StoryboardClient, url: str, retries: int, console: Console) -> None:
    """Say that it may take long, where no server is ready and there are retries."""
    if retries and not client.ready():
        text = f"no server is ready at {url} yet; trying again for some minutes (Ctrl-C ends it)"
        say(console, text)


def say(console: Console, text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _folders(stories: Sequence[Path], out: Path) -> list[Path]:
    """The folder of each story: `out` itself for one story, folders inside it for several."""
    if len(stories) < 2:
        return [out for _ in stories]
    seen: dict[str, Path] = {}
    for path in stories:
        other = seen.setdefault(path.stem.casefold(), path)
        if other is not path:
            got = f"{other} and {path}"
            raise ValueError(f"storyboards: got {got}, allowed files with different names")
    return [out / path.stem for path in stories]


def draw_one(client: StoryboardClient, job: Job, console: Console, previews: bool) -> int:
    """Draw one storyboard into its folder, with contact sheet and report; the exit code."""
    run = _Run()
    code = _draw(client, job.storyboard, job.wanted, job.folder, run, console, previews)
    if signed := job.folder.sign_kept():
        say(console, f"signed {signed} pictures that were there already")
    board, folder = job.storyboard, job.folder
    if job.judged is not None and code in (DRAWN, PANELS_FAILED):
        judged, board, folder = job.judged.run(client, folder, console)
        code = worst([code, judged])
    if _write_pages(_album(board, folder, run), folder):
        page = folder.path / "report.html"
        console.print(f"see {page}", markup=False, highlight=False, soft_wrap=True)
    return code


def _draw(
    client: StoryboardClient,
    storyboard: Storyboard,
    wanted: Sequence[int],
    folder: DrawingFolder,
    run: _Run,
    console: Console,
    previews: bool,
) -> int:
    if not wanted:
        console.print("every panel is there already; --overwrite draws them again")
        return DRAWN
    steps = {number: stage_steps(storyboard, number) for number in wanted}
    title = storyboard.title or "storyboard"
    try:
        with (
            DrawingProgress(console, title, steps, previews) as progress,
            closing(client.events(storyboard, only=wanted)) as events,
        ):
            _handle_events(events, folder, run, progress)
    except (StoryboardRefused, StoryboardError) as error:  # the latter: what cannot be signed
        return fail(console, BAD_STORYBOARD, error)
    except LafiError as error:
        fail(console, SERVER_UNAVAILABLE, error)
        if run.fresh:
            console.print("run the same command again to draw what is missing")
        return SERVER_UNAVAILABLE
    except KeyboardInterrupt:
        return fail(console, INTERRUPTED, "interrupted; finished panels are kept")
    return PANELS_FAILED if run.errors else DRAWN


def _handle_events(
    events: Iterable[Event], folder: DrawingFolder, run: _Run, progress: DrawingProgress
) -> None:
    for event in events:
        match event:
            case PanelImage():
                folder.save_panel(event)
                run.fresh.add(event.panel)
            case Preview():
                folder.save_preview(event)
            case Latents():
                folder.save_latents(event)
            case Portrait():
                folder.save_portrait(event)
                run.cast[event.character] = event.png
            case Failed(panel=int(number)):
                run.errors[number] = event.error
        progress.show(event)


def _checked_numbers(panels: Sequence[int], storyboard: Storyboard) -> list[int]:
    last = len(storyboard.panels) - 1
    for number in panels:
        if not 0 <= number <= last:
            raise ValueError(f"--panel: got {number}, allowed 0 to {last}")
    return sorted(set(panels))


def outdated(storyboard: Storyboard, folder: DrawingFolder, overwrite: bool) -> list[int]:
    """Numbers of the panels that are not there with these settings; all of them to overwrite."""
    numbers = range(len(storyboard.panels))
    return [number for number in numbers if overwrite or not folder.current(number)]


def stage_steps(storyboard: Storyboard, number: int) -> list[int]:
    """Steps of each stage of a panel."""
    sampling = storyboard.effective_sampling(storyboard.panels[number])
    return [stage.steps for stage in sampling.stages]


def _album(storyboard: Storyboard, folder: DrawingFolder, run: _Run) -> Album:
    return Album(
        title=storyboard.title,
        width=storyboard.width,
        height=storyboard.height,
        cast=tuple(_cast(storyboard, folder, run)),
        panels=tuple(_entry(storyboard, n, folder, run) for n in range(len(storyboard.panels))),
        seconds=time.monotonic() - run.started if run.fresh else None,
    )


def _cast(storyboard: Storyboard, folder: DrawingFolder, run: _Run) -> Iterable[CastMember]:
    for character in storyboard.characters:
        drawn = character.reference is None
        given = None if character.reference is None else character.reference.data
        picture = run.cast.get(character.name) or given or folder.portrait(character.name)
        yield CastMember(character.name, character.caption, picture, drawn)


def _entry(storyboard: Storyboard, number: int, folder: DrawingFolder, run: _Run) -> PanelEntry:
    entry = panel_entry(storyboard, number)
    if number in run.errors:
        return replace(entry, error=run.errors[number])
    picture, record = folder.panel(number), folder.record(number)
    if picture is None:
        return entry
    note = "" if number in run.fresh else _note(folder.current(number))
    entry = replace(entry, picture=picture, note=note)
    if record is None:
        return entry
    return replace(
        entry,
        seconds=record.seconds,
        address=record.address,
        seed=entry.seed if record.seed is None else record.seed,
        scores=tuple(record.scores.items()),
        attempts=record.attempts,
    )


def _note(current: bool) -> str:
    return "kept" if current else "kept, drawn with other settings"


def _write_pages(album: Album, folder: DrawingFolder) -> bool:
    """Write the contact sheet and the report. False if there are no pictures."""
    if all(entry.picture is None for entry in album.panels):
        return False
    buffer = io.BytesIO()
    contact_sheet(album).save(buffer, format="PNG", optimize=True)
    shown = [
        made_by(entry.picture, f"panel {entry.number}") for entry in album.panels if entry.picture
    ]
    folder.write(_SHEET, folder.signed(_SHEET, buffer.getvalue(), shown))
    folder.write("report.html", report(album).encode())
    return True
