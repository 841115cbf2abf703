"""How a client shows who it is, and how it checks who the server is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import grpc

from lafi_client.channel import is_encrypted

Metadata = tuple[tuple[str, str], ...]


class AccessOptions(TypedDict):
    """Arguments of every client."""

    api_key: str
    credentials: grpc.ChannelCredentials | None


@dataclass(frozen=True, slots=True)
class Access:
    """api_key: "" for a server without keys. The files are PEM.

    tls_ca: of who signed the server's certificate; without it, a `grpcs://` address is checked
    against the usual authorities. tls_certificate and tls_key: the client's own, where the server
    wants one. Raises ValueError if one of them is given without the other.
    """

    api_key: str = field(default="", repr=False)
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("--tls-certificate and --tls-key: give both or neither")

    def options(self, url: str) -> AccessOptions:
        """For a client of the server at `url`. Raises ValueError for a file that is not there."""
        return {"api_key": self.api_key, "credentials": self._credentials(url)}

    def _credentials(self, url: str) -> grpc.ChannelCredentials | None:
        if not (is_encrypted(url) or self.tls_ca or self.tls_certificate):
            return None
        files = (self.tls_ca, self.tls_key, self.tls_certificate)
        try:
            contents = [None if path is None else path.read_bytes() for path in files]
        except OSError as error:
            raise ValueError(f"{error.filename}: {error.strerror}") from None
        return grpc.ssl_channel_credentials(*contents)


def key_metadata(api_key: str) -> Metadata:
    """What goes with every call. Raises ValueError, which does not show the key."""
    if not api_key:
        return ()
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise ValueError("api_key: got blanks or special characters, allowed: a key as it was made")
    return (("authorization", f"Bearer {api_key}"),)
