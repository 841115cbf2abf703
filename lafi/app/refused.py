"""How a command says why it was refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from lafi.app.missing import missing
from lafi.board.error import StoryboardError

_EXTRAS: Final = {"openai": "llm", "httpx2": "llm", "torch": "train", "safetensors": "train"}
"""What installs a package that only a choice of the user needs."""


def refused(error: StoryboardError, code: int) -> typer.Exit:
    """Print a line for each problem. code: the exit status."""
    for line in error.problems:
        typer.echo(f"error: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def said_why(code: int = 2, extra: str = "") -> Iterator[None]:
    """Turn refusals and missing packages into words and an exit status.

    code: of a refusal. extra: what usually installs what is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(error, _EXTRAS.get((error.name or "").split(".")[0], extra)) from None
    except StoryboardError as error:
        raise refused(error, code) from None
