"""How a command says why it was refused."""

import typer

from lafi.board.error import StoryboardError


def refused(error: StoryboardError, code: int) -> typer.Exit:
    """Print a line for each problem. code: the exit status."""
    for line in error.problems:
        typer.echo(f"error: {line}", err=True)
    return typer.Exit(code)
