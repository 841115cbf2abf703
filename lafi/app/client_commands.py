"""`lafi queue`, `cancel`, `enrol`, `identify` and `forget`: what is asked of a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.drawing_options import DEFAULT_URL, Url
from lafi.app.missing import needs

app = typer.Typer()

Identifier = Annotated[
    str, typer.Argument(metavar="ID", help="As `lafi draw --detach` prints it.", show_default=False)
]


@app.command()
def queue(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Show which storyboards a running server draws, and when they may be done."""
    with needs(""):
        from lafi_client.control_commands import queue as queue_command
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    raise typer.Exit(queue_command(url, access=access))


@app.command()
def cancel(
    identifier: Identifier,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Have a running server stop a storyboard."""
    with needs(""):
        from lafi_client.control_commands import cancel as cancel_command
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    raise typer.Exit(cancel_command(identifier, url, access=access))


@app.command()
def enrol(
    character: Annotated[str, typer.Argument(help="A name, such as mia.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Its pictures.", show_default=False)],
    description: Annotated[str, typer.Option(help="What it looks like, in words.")] = "",
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Make a character known to a running server, by pictures and without training."""
    with needs(""):
        from lafi_client.identity_commands import enrol as enrol_command
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    code = enrol_command(character, images, url, description=description, access=access)
    raise typer.Exit(code)


@app.command()
def identify(
    images: Annotated[list[Path], typer.Argument(help="Pictures.", show_default=False)],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Say which enrolled character is in each picture."""
    with needs(""):
        from lafi_client.identity_commands import identify as identify_command
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    raise typer.Exit(identify_command(images, url, access=access))


@app.command()
def forget(
    character: Annotated[str, typer.Argument(help="A name, such as mia.", show_default=False)],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Have a running server forget a character."""
    with needs(""):
        from lafi_client.identity_commands import forget as forget_command
    access = access_of(api_key, tls_ca, tls_certificate, tls_key)
    raise typer.Exit(forget_command(character, url, access=access))
