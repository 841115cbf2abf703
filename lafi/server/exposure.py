"""What protects a server's ports, and what it may not do without."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lafi.front.control import TlsFiles
from lafi.front.keys import read_keys
from lafi.front.tls import check_files
from lafi.server.envoy_process import find_envoy


class ExposureError(ValueError):
    """The ports would be open to whom they must not be; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """keys: the file of API keys, None: everybody may do everything. tls: None: in the clear.

    insecure: listen beyond loopback although one of them is missing. open_parts: clients reach the
    served parts, such as vae_decoder, too. envoy: it does TLS and limits before the front.
    """

    keys: Path | None = None
    tls: TlsFiles | None = None
    insecure: bool = False
    open_parts: bool = False
    envoy: bool = False

    def check(self, host: str, *, http: bool) -> None:
        """Before anything is started. http: whether Triton Server's own HTTP is open.

        Raises ExposureError, KeyFileError, TlsFilesError and EnvoyMissingError.
        """
        if self.envoy:
            find_envoy()
        if self.keys is not None:
            read_keys(self.keys)
        if self.tls is not None:
            check_files(self.tls)
        if http and (self.keys is not None or self.tls is not None):
            raise ExposureError(
                "--http opens Triton Server's own HTTP, which knows neither keys nor TLS; leave "
                "out --http, or --keys and --tls-certificate"
            )
        missing = self.missing()
        if missing and not (self.insecure or is_loopback(host)):
            raise ExposureError(
                f"--host {host} can be reached from other machines, and {' and '.join(missing)}; "
                "--insecure serves without"
            )

    def missing(self) -> list[str]:
        """What the ports lack, each as a clause."""
        missing = []
        if self.keys is None:
            missing.append("nobody needs a key (--keys FILE, made with `lafi keys add`)")
        if self.tls is None:
            missing.append("nothing is encrypted (--tls-certificate FILE --tls-key FILE)")
        return missing


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


OPEN_PARTS = Exposure(open_parts=True)
"""For measurements and tests of the served parts, on loopback."""
