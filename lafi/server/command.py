"""`lafi serve`: starts the server, prints its addresses, and stops it on Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lafi.server.free_ports import PortTakenError
from lafi.server.log import LogLine
from lafi.server.supervisor import RepositoryError, ServerFailedError, TritonServer
from lafi.server.wheel import ServerUnavailableError

_EXPECTED_ERRORS = (
    ServerUnavailableError,
    RepositoryError,
    ServerFailedError,
    PortTakenError,
    ValueError,
)
_LOOPBACK = ("127.", "localhost", "::1")
_STYLES = {"warning": "yellow", "error": "red", "info": "", "plain": "dim"}


def serve_command(
    repository: Path,
    host: str = "127.0.0.1",
    grpc_port: int = 8001,
    http_port: int = 8000,
    metrics_port: int = 8002,
    verbose: bool = False,
    threads: int | None = None,
    log_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> int:
    """Serves `repository` until SIGINT or SIGTERM. Returns the exit code.

    0: stopped on request; 1: the server did not start, or died. Port 0 picks a free port.
    environment: further settings of the models.
    verbose: prints every line of the server's log, not only warnings, errors and our models' lines.
    """
    console = console or Console(highlight=False)
    ready = threading.Event()
    server = TritonServer(
        repository,
        host=host,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        on_line=_printer(console, verbose, ready),
        log_file=log_file,
        threads=threads,
        environment=environment,
    )
    died = None
    with _stop_requests() as stop_asked:
        try:
            _start(server, console, stop_asked)
            ready.set()
            if not stop_asked.is_set():
                _announce(server, console)
            died = _watch(server, stop_asked)
        except _EXPECTED_ERRORS as error:
            died = str(error)
        finally:
            if died is None:
                console.print("stopping ...")
            server.stop()
    if died is not None:
        console.print(Text(f"error: {died}", style="red"), soft_wrap=True)
        return 1
    console.print("stopped")
    return 0


def _start(server: TritonServer, console: Console, stop_asked: threading.Event) -> None:
    console.print(Text.assemble(("LAFI", "bold"), f" {_version()} loads {server.repository} ..."))
    began = time.monotonic()
    server.start(cancelled=stop_asked.is_set)
    if not stop_asked.is_set():
        console.print(f"ready after {time.monotonic() - began:.1f} s", style="green")


def _announce(server: TritonServer, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("gRPC", Text(server.grpc_url, style="bold"))
    table.add_row("HTTP", server.http_url)
    table.add_row("metrics", server.metrics_url)
    table.add_row("models", ", ".join(server.models))
    table.add_row("log", str(server.raw_log))
    table.add_row("draw", Text(f"lafi draw story.yaml --url {server.grpc_url}", style="cyan"))
    console.print(table)
    if not server.host.startswith(_LOOPBACK):
        console.print(
            Text(
                f"warning: {server.host} is not loopback. Whoever reaches these ports may use "
                "them, without a password or encryption; keep them behind a firewall.",
                style="yellow",
            ),
            soft_wrap=True,
        )
    console.print("stop with Ctrl-C", style="dim")


def _watch(server: TritonServer, stop_asked: threading.Event) -> str | None:
    """Returns None on a request to stop, or what the log says once the server has died."""
    while not stop_asked.wait(0.2):
        died = server.poll()
        if died is not None:
            return died
    return None


def _printer(console: Console, verbose: bool, ready: threading.Event) -> Callable[[LogLine], None]:
    """Returns a function that prints log lines.

    Errors before `ready` are left out: the error at the end of a failed start shows them once.
    """

    def show(line: LogLine) -> None:
        shown = line.is_worth_showing and (ready.is_set() or line.level in ("info", "warning"))
        if shown or (verbose and line.text):
            console.print(Text(str(line), style=_STYLES[line.level]), soft_wrap=True)

    return show


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set. Restores the earlier signal handlers at the end."""
    stop_asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop_asked.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _version() -> str:
    try:
        return version("lafi")
    except PackageNotFoundError:
        return "(not installed)"
