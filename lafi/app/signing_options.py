"""Options of the commands that sign what they write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lafi.app.refused import said_why

if TYPE_CHECKING:
    from lafi.origin.signing import Signing

SignKey = Annotated[
    Path | None,
    typer.Option(
        envvar="LAFI_SIGN_KEY",
        help="Private key (PEM): sign each file with a C2PA manifest that says what drew it.",
    ),
]
SignCertificate = Annotated[
    Path | None,
    typer.Option(
        envvar="LAFI_SIGN_CERTIFICATE", help="Its certificates (PEM), the signer's own first."
    ),
]


def signing_of(key: Path | None, certificate: Path | None) -> Signing | None:
    """Who signs, checked; None: nothing is signed. Raises typer.Exit with what is wrong said."""
    if key is None and certificate is None:
        return None
    with said_why(2, "origin"):
        from lafi.origin.signing import signing_of as checked

        return checked(key, certificate)
