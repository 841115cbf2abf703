"""`lafi serve`: starts the server, prints its addresses, drains and stops it when asked to."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lafi.server.exposure import Exposure, is_loopback
from lafi.server.free_ports import PortTakenError
from lafi.server.log import LogLine
from lafi.server.serve_settings import ServeSettings
from lafi.server.supervisor import Supervisor
from lafi.server.triton_install import ServerUnavailableError
from lafi.server.triton_server import RepositoryError, ServerFailedError

_EXPECTED_ERRORS = (
    ServerUnavailableError,
    RepositoryError,
    ServerFailedError,
    PortTakenError,
    ValueError,
)
_STYLES = {"warning": "yellow", "error": "red", "info": "", "plain": "dim"}


def serve_command(
    repository: Path, asked: ServeSettings | None = None, console: Console | None = None
) -> int:
    """Serves `repository` until SIGINT or SIGTERM, then drains. Returns the exit code.

    0: stopped on request; 1: the server did not start. A second signal ends the drain.
    """
    asked = asked or ServeSettings()
    console = console or Console(highlight=False)
    ready = threading.Event()
    try:
        server = _supervisor(repository, asked, console, ready)
    except ValueError as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    failed = None
    with _stop_requests() as stops:
        try:
            _start(server, console, stops)
            ready.set()
            if not stops.asked:
                _announce(server, console, asked.exposure)
                stops.wait()
                _drain(server, console, asked.grace, stops)
        except _EXPECTED_ERRORS as error:
            failed = str(error)
        finally:
            if failed is None:
                console.print("stopping ...")
            server.stop()
    if failed is not None:
        console.print(Text(f"error: {failed}", style="red"), soft_wrap=True)
        return 1
    console.print("stopped")
    return 0


def _supervisor(
    repository: Path, asked: ServeSettings, console: Console, ready: threading.Event
) -> Supervisor:
    return Supervisor(
        repository,
        host=asked.host,
        grpc_port=asked.grpc_port,
        health_port=asked.health_port,
        http_port=asked.http_port,
        on_line=_printer(console, asked.verbose, ready),
        on_event=lambda text: console.print(Text(text, style="yellow"), soft_wrap=True),
        log_file=asked.log_file,
        threads=asked.threads,
        environment=asked.environment,
        startup_seconds=asked.startup_seconds,
        canary_seconds=asked.canary_seconds,
        request_mib=asked.request_mib,
        requests_mib=asked.requests_mib,
        unread_seconds=asked.unread_seconds,
        exposure=asked.exposure,
        peers=asked.peers,
        triton_server=asked.triton_server,
    )


def _start(server: Supervisor, console: Console, stops: _Stops) -> None:
    console.print(Text.assemble(("LAFI", "bold"), f" {_version()} loads {server.repository} ..."))
    began = time.monotonic()
    server.start(cancelled=lambda: stops.asked > 0)
    if not stops.asked:
        console.print(f"ready after {time.monotonic() - began:.1f} s", style="green")


def _announce(server: Supervisor, console: Console, asked: Exposure) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("gRPC", Text(server.grpc_url, style="bold"))
    if server.http_url is not None:
        table.add_row("HTTP", server.http_url)
    table.add_row("health", f"{server.health_url}/readyz")
    table.add_row("metrics", server.metrics_url)
    table.add_row("models", ", ".join(server.models))
    table.add_row("log", str(server.raw_log))
    table.add_row("draw", Text(f"lafi draw story.yaml --url {server.client_url}", style="cyan"))
    console.print(table)
    if asked.missing() and not is_loopback(server.host):
        console.print(
            Text(
                f"warning: {server.host} is not loopback, and --insecure was given: "
                f"{' and '.join(asked.missing())}. Keep the ports behind a firewall.",
                style="yellow",
            ),
            soft_wrap=True,
        )
    console.print("stop with Ctrl-C", style="dim")


def _drain(server: Supervisor, console: Console, grace: float, stops: _Stops) -> None:
    """Takes nothing new; gives what is in flight `grace` seconds, or until the next signal."""
    waiting = server.health().in_flight
    if waiting:
        console.print(f"finishing {waiting} requests, at most {grace:g} s; again: stop at once")
    before = stops.asked
    if not server.drain(grace, ended=lambda: stops.asked > before):
        console.print("what is not finished fails as retryable")


def _printer(console: Console, verbose: bool, ready: threading.Event) -> Callable[[LogLine], None]:
    """Returns a function that prints log lines.

    Errors before `ready` are left out: the error at the end of a failed start shows them once.
    """

    def show(line: LogLine) -> None:
        shown = line.is_worth_showing and (ready.is_set() or line.level in ("info", "warning"))
        if shown or (verbose and line.text):
            console.print(Text(str(line), style=_STYLES[line.level]), soft_wrap=True)

    return show


class _Stops:
    """Counts requests to stop; a signal handler must not wait for a lock."""

    def __init__(self) -> None:
        self.asked = 0

    def wait(self) -> None:
        """Until there is one."""
        while not self.asked:
            time.sleep(0.1)


@contextmanager
def _stop_requests() -> Iterator[_Stops]:
    """Counts SIGINT and SIGTERM. Restores the earlier signal handlers at the end."""
    stops = _Stops()

    def ask(number: int, frame: FrameType | None) -> None:
        stops.asked += 1

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stops
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _version() -> str:
    try:
        return version("lafi")
    except PackageNotFoundError:
        return "(not installed)"
