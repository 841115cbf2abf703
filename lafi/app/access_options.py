"""Options of all commands that ask a running server: its key, and TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lafi_client.access import Access

ApiKey = Annotated[
    str,
    typer.Option(
        envvar="LAFI_API_KEY",
        help="Key for a server that wants one; others on this machine see it here, not in the "
        "environment variable.",
        show_default=False,
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(envvar="LAFI_TLS_CA", help="Who signed the server's certificate (PEM)."),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option(envvar="LAFI_TLS_CERTIFICATE", help="Our own certificate, if it wants one."),
]
TlsKey = Annotated[
    Path | None, typer.Option(envvar="LAFI_TLS_KEY", help="The key of our certificate.")
]


def access_of(
    api_key: str, tls_ca: Path | None, tls_certificate: Path | None, tls_key: Path | None
) -> Access:
    """What the options say. Raises typer.BadParameter."""
    from lafi_client.access import Access

    try:
        return Access(api_key, tls_ca, tls_certificate, tls_key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
