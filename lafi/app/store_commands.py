"""`lafi store`: lists, checks and empties what a server keeps of finished panels."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lafi.store.panels import PanelStore

app = typer.Typer(
    name="store",
    help="Finished panels that a server keeps: list, check, empty.",
    no_args_is_help=True,
)

Repository = Annotated[Path, typer.Argument(help="What `lafi export` wrote.", metavar="REPO")]
Store = Annotated[
    str, typer.Option("--store", help="As for `lafi serve`: `state` is beside the enrolments.")
]


@app.command("list")
def list_panels(repository: Repository, store: Store = "state") -> None:
    """List kept panels, the one used longest ago first."""
    kept, now = _opened(repository, store), time.time()
    table = Table("address", "KiB", "last used", "must stay for")
    for panel in kept.all():
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(panel.used))
        hours = max(0.0, panel.pinned - now) / 3600
        table.add_row(panel.address, f"{panel.bytes / 1024:.0f}", used, f"{hours:.1f} h")
    Console().print(table)
    stats = kept.stats()
    typer.echo(
        f"{stats.panels} panels, {stats.bytes / 2**20:.1f} MiB, of which "
        f"{stats.pinned_bytes / 2**20:.1f} MiB must stay until they are acknowledged"
    )


@app.command()
def check(repository: Repository, store: Store = "state") -> None:
    """Read every file and name those that are damaged; they are drawn anew when asked for."""
    kept = _opened(repository, store)
    damaged = 0
    for _, reason in kept.check():
        typer.echo(f"damaged: {reason}", err=True)
        damaged += 1
    typer.echo(f"{kept.stats().panels} panels, {damaged} damaged")
    if damaged:
        raise typer.Exit(1)


@app.command()
def empty(
    repository: Repository,
    store: Store = "state",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase all kept panels, those too that nobody has fetched yet."""
    kept = _opened(repository, store)
    if not yes:
        typer.confirm(f"erase {kept.stats().panels} panels?", abort=True)
    typer.echo(f"{kept.empty()} files erased")


def _opened(repository: Path, url: str) -> PanelStore:
    import sqlite3

    from lafi.store.settings import STORE, store_of

    state = repository / "state"
    if not state.parent.is_dir():
        typer.echo(f"error: {repository}: no such folder", err=True)
        raise typer.Exit(2)
    try:
        kept = store_of({STORE: url}, state)
    except (OSError, ValueError, sqlite3.Error) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if kept is None:
        typer.echo("error: --store: got nothing, allowed: `state`, a folder or a URL", err=True)
        raise typer.Exit(2)
    return kept
