"""What is said where a package is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


def missing(error: ModuleNotFoundError, extra: str) -> typer.Exit:
    """Print which extra installs a missing package. Raises `error` for a module of our own."""
    name = (error.name or "").split(".")[0]
    if name.startswith("lafi"):
        raise error
    wanted = f"lafi[{extra}]" if extra else "lafi"
    typer.echo(
        f"error: the package {name} is not installed; install it with: pip install '{wanted}'",
        err=True,
    )
    return typer.Exit(1)


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around imports of what the extra installs: `missing` where it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error, extra) from None
