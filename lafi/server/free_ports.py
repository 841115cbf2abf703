"""Chooses and holds ports: a free one for 0, a clear error for one that is taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final


class PortTakenError(RuntimeError):
    """A requested port cannot be used; the text says which one and what to do."""


class HeldPorts:
    """Ports that nobody else is given as a free one until they are released.

    Each is bound by a socket that never listens. A server that asks for the port by its number,
    with SO_REUSEADDR as servers do, still gets it; the kernel gives it to nobody who asks for any
    port, and to no outgoing connection. So no other process takes it between the choice and the
    server's start, nor while the server is started again.
    """

    def __init__(self, numbers: Mapping[str, int], sockets: ExitStack) -> None:
        self.numbers: Final = dict(numbers)
        self._sockets = sockets

    def release(self) -> None:
        """Let others have them. Safe to call twice."""
        self._sockets.close()

    def __enter__(self) -> HeldPorts:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hold_ports(host: str, wanted: Mapping[str, int]) -> HeldPorts:
    """Choose and hold a port for each name in `wanted` (0 to 65535, 0: any free one).

    Raises PortTakenError for a port that is taken, given twice or not allowed to this user, and
    ValueError for a number outside the range or a host that is not this machine.
    """
    for name, port in wanted.items():
        if not 0 <= port <= 65535:
            raise ValueError(f"{option(name)}: got {port}, allowed: 0 (any free port) to 65535")
    chosen: dict[str, int] = {}
    with ExitStack() as bound:
        for name, port in sorted(wanted.items(), key=lambda item: item[1] == 0):
            if port and port in chosen.values():
                raise PortTakenError(f"{option(name)}: port {port} is given twice")
            chosen[name] = _bind(bound, host, name, port)
        return HeldPorts({name: chosen[name] for name in wanted}, bound.pop_all())


def option(name: str) -> str:
    """The command-line option of a port: "grpc" -> "--grpc-port"."""
    return f"--{name}-port"


def url_host(host: str) -> str:
    """The host as written in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _bind(bound: ExitStack, host: str, name: str, port: int) -> int:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ValueError(f"--host: got {host!r}, which has no address ({error.strerror})") from None
    listener = bound.enter_context(socket.socket(family, kind, protocol))
    # The server can use a port whose last connections are in TIME_WAIT, so we accept it too.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # Fails beside a socket that listens, not beside one that only holds its port.
        listener.bind(address)
    except OSError as error:
        raise _refusal(error, host, name, port) from None
    return int(listener.getsockname()[1])


def _refusal(error: OSError, host: str, name: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            f"port {port} on {host} is taken: stop what listens there, or choose another with "
            f"{option(name)} ({option(name)} 0 picks a free one)"
        )
    if error.errno == errno.EACCES:
        return PortTakenError(
            f"port {port} on {host} may not be used by this user: choose one above 1023 with "
            f"{option(name)} ({option(name)} 0 picks a free one)"
        )
    return ValueError(f"--host: got {host!r}, which is no address of this machine ({error})")
