"""`lafi keys`: adds, lists and removes the keys of `lafi serve --keys`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lafi.front.keys import KeyFile

app = typer.Typer(
    name="keys",
    help="API keys for `lafi serve --keys`: add, list, remove.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(help="The file of keys.", metavar="FILE")]
Name = Annotated[str, typer.Argument(help="Who gets the key, such as studio.", metavar="NAME")]


@app.command()
def add(
    file: File,
    name: Name,
    right: Annotated[
        list[str] | None,
        typer.Option(
            metavar="draw|enrol|forget|priority|metrics",
            help="What the key may do; may be given again.",
            show_default="draw",
        ),
    ] = None,
    megapixel_steps: Annotated[
        float | None,
        typer.Option(
            help="Most that its storyboards may cost at once: width x height x steps of all "
            "panels, in millions.",
            show_default="no limit of its own",
        ),
    ] = None,
) -> None:
    """Make a key and print it, this once: the file keeps only its hash."""
    from pydantic import ValidationError

    from lafi.front.keys import Key, KeyFile, hash_of, new_key

    earlier = _read(file) if file.exists() else KeyFile()
    if any(key.name == name for key in earlier.keys):
        raise _failure(f"NAME: got {name}, which has a key in {file}; `lafi keys remove` takes it")
    made = new_key()
    given = {"name": name, "sha256": hash_of(made), "rights": tuple(right or ("draw",))}
    try:
        entry = Key.model_validate({**given, "megapixel_steps": megapixel_steps})
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise _failure(f"{first['loc'][0]}: {first['msg']}") from None
    _write(file, KeyFile(keys=(*earlier.keys, entry)))
    typer.echo(f"{name} may: {', '.join(entry.rights)}. Its key is shown only now:", err=True)
    typer.echo(made)


@app.command("list")
def list_keys(file: File) -> None:
    """Show whose keys are in the file, and what they may do."""
    table = Table("name", "rights", "megapixel steps at once")
    for key in _read(file).keys:
        most = "no limit" if key.megapixel_steps is None else f"{key.megapixel_steps:g}"
        table.add_row(key.name, ", ".join(key.rights), most)
    Console().print(table)


@app.command()
def remove(file: File, name: Name) -> None:
    """Take a key back: a running server refuses it within a second or two."""
    from lafi.front.keys import KeyFile

    earlier = _read(file)
    left = tuple(key for key in earlier.keys if key.name != name)
    if len(left) == len(earlier.keys):
        names = ", ".join(key.name for key in left) or "none"
        raise _failure(f"NAME: got {name}, allowed: a name in {file} ({names})")
    _write(file, KeyFile(keys=left))
    typer.echo(f"{name} is out; what it has in flight is drawn to its end")


def _read(file: Path) -> KeyFile:
    from lafi.front.keys import KeyFileError, read_keys

    try:
        return read_keys(file)
    except KeyFileError as error:
        raise _failure(str(error)) from None


def _write(file: Path, keys: KeyFile) -> None:
    from lafi.front.keys import write_keys

    try:
        write_keys(file, keys)
    except OSError as error:
        raise _failure(f"{file}: {error.strerror}") from None


def _failure(text: str) -> typer.Exit:
    typer.echo(f"error: {text}", err=True)
    return typer.Exit(2)
