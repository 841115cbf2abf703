"""The word for a package that an extra would have installed."""

from __future__ import annotations

import typer


def missing(error: ModuleNotFoundError, extra: str) -> typer.Exit:
    """Prints which extra installs a missing package. Raises `error` for a module of our own."""
    name = (error.name or "").split(".")[0]
    if name.startswith("lafi"):
        raise error
    wanted = f"lafi[{extra}]" if extra else "lafi"
    typer.echo(
        f"error: the package {name} is not installed; install it with: pip install '{wanted}'",
        err=True,
    )
    return typer.Exit(1)
