"""`lafi compare`: one storyboard with different settings, side by side in one picture."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Accepted, Failed, PanelImage
from lafi_client.access import Access
from lafi_client.client import StoryboardClient
from lafi_client.comparison_sheet import comparison_sheet
from lafi_client.drawing_folder import write_whole
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
from lafi_client.field_setting import parse_variation
from lafi_client.retry import RETRIES
from lafi_client.story_file import Overrides, load_story

MAX_PICTURES = 400
"""The limit for one sheet."""
SHEET_NAME = "compare.png"


@dataclass
class ComparisonRow:
    """One combination of settings, with its pictures or errors by panel number."""

    label: tuple[str, ...]
    storyboard: Storyboard
    pictures: dict[int, PanelImage] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)


def compare(
    story: str | Path,
    out: str | Path,
    url: str = "127.0.0.1:8001",
    *,
    variations: Sequence[str],
    overrides: Overrides | None = None,
    panels: Sequence[int] | None = None,
    timeout: float | None = 3600.0,
    idle_timeout: float = 60.0,
    retries: int = RETRIES,
    access: Access | None = None,
    console: Console | None = None,
) -> int:
    """Draw the storyboard with every combination of `variations` and write compare.png into `out`.

    A variation is `FIELD=VALUE,VALUE`. The sheet has a row for each combination and a column for
    each panel, or for each of `panels`. All pictures are drawn anew. Timeouts are seconds
    for each row. Exit codes are those of `draw`.
    """
    console = console or Console(stderr=True)
    try:
        rows = _rows(Path(story), variations, overrides or Overrides())
        columns = _columns(rows, panels)
        client = StoryboardClient(
            url,
            timeout=timeout,
            idle_timeout=idle_timeout,
            retries=retries,
            **(access or Access()).options(url),
        )
    except (StoryboardError, ValueError) as error:
        return fail(console, BAD_STORYBOARD, error)
    codes = [DRAWN]
    with client:
        for number, row in enumerate(rows, 1):
            console.print(f"{number}/{len(rows)}  {', '.join(row.label)}", markup=False)
            codes.append(_draw_row(client, row, columns, console))
            if codes[-1] not in (DRAWN, PANELS_FAILED):
                break
    if any(row.pictures for row in rows):
        path = Path(out) / SHEET_NAME
        buffer = io.BytesIO()
        comparison_sheet(rows[0].storyboard.title, rows, columns).save(buffer, "PNG", optimize=True)
        write_whole(path, buffer.getvalue())
        console.print(f"see {path}", markup=False, highlight=False, soft_wrap=True)
    return worst(codes)


def _rows(path: Path, variations: Sequence[str], overrides: Overrides) -> list[ComparisonRow]:
    """One row for each combination; the last variation varies fastest."""
    choices = [parse_variation(text) for text in variations]
    if (count := math.prod(map(len, choices))) > MAX_PICTURES:
        raise ValueError(f"--vary: got {count} rows, allowed 1 to {MAX_PICTURES}")
    rows = []
    for settings in itertools.product(*choices):
        changed = replace(overrides, settings=(*overrides.settings, *settings))
        label = tuple(map(str, settings)) or ("as it is",)
        rows.append(ComparisonRow(label, load_story(path, changed)))
    return rows


def _columns(rows: Sequence[ComparisonRow], panels: Sequence[int] | None) -> list[int]:
    last = min(len(row.storyboard.panels) for row in rows) - 1
    for number in panels or ():
        if not 0 <= number <= last:
            raise ValueError(f"--panel: got {number}, allowed 0 to {last}")
    columns = sorted(set(panels)) if panels else list(range(last + 1))
    if (count := len(rows) * len(columns)) > MAX_PICTURES:
        got = f"{len(rows)} rows of {len(columns)} panels, {count} pictures"
        raise ValueError(f"--vary: got {got}, allowed {MAX_PICTURES}; --panel chooses panels")
    return columns


def _draw_row(
    client: StoryboardClient, row: ComparisonRow, columns: Sequence[int], console: Console
) -> int:
    try:
        with closing(client.events(row.storyboard, only=columns)) as events:
            for event in events:
                match event:
                    case Accepted():
                        for note in event.notes:
                            console.print(f"note: {note}", markup=False)
                    case PanelImage():
                        row.pictures[event.panel] = event
                    case Failed(panel=int(number)):
                        row.errors[number] = event.error
                        console.print(f"panel {number} failed: {event.error}", markup=False)
    except StoryboardRefused as error:
        return fail(console, BAD_STORYBOARD, error)
    except LafiError as error:
        return fail(console, SERVER_UNAVAILABLE, error)
    except KeyboardInterrupt:
        return fail(console, INTERRUPTED, "interrupted; the sheet shows what was drawn")
    return PANELS_FAILED if row.errors else DRAWN
