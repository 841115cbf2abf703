"""/livez, /readyz, /drain and /metrics, on a port of their own.

They say what the supervisor itself has seen, never Triton Server's word.
"""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import grpc

from lafi.front.control import TlsFiles
from lafi.front.door import METRICS_PAGE, Door
from lafi.front.request_check import RequestRefused
from lafi.front.tls import WatchedFiles, load_pair, server_context

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """What the pages show. why: "" or why requests are not taken."""

    live: bool
    ready: bool
    why: str
    in_flight: int
    restarts: Mapping[str, int]
    """By the part that was restarted, `front` or `server`."""


class HealthPages:
    """Serves the pages from `start` to `stop`, each request in a thread of its own."""

    def __init__(
        self,
        host: str,
        port: int,
        health: Callable[[], Health],
        drain: Callable[[], None],
        metrics_url: Callable[[], str],
        door: Door,
        tls: TlsFiles | None = None,
    ) -> None:
        """drain: what POST /drain does. metrics_url: of Triton Server's own numbers, "": none.

        door: who may read the metrics; the other pages are for probes, which have no key.
        tls: None answers without encryption; clients never need a certificate here. Raises
        TlsFilesError.
        """
        calls: dict[str, Callable[..., object]] = {
            "health": health,
            "drain": drain,
            "metrics_url": metrics_url,
            "check_reader": partial(door.admit, METRICS_PAGE),
        }
        methods = {name: staticmethod(call) for name, call in calls.items()}
        handler = type("Pages", (_Pages,), methods)
        kind = _Server6 if ":" in host else _Server
        encrypted = None if tls is None else _Encrypted(tls)
        self._server = kind((host, port), handler, encrypted)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            daemon=True,
            name="health pages",
        )

    @property
    def port(self) -> int:
        """On which it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End, and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Encrypted:
    """Wraps connections in TLS, with the certificate as it is now."""

    def __init__(self, files: TlsFiles) -> None:
        self._context = server_context(files)
        self._watched = WatchedFiles(files)

    def __call__(self, connection: socket.socket) -> socket.socket:
        """The connection; its handshake comes with the first reading."""
        if self._watched.changed():
            load_pair(self._context, self._watched.files)
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        encrypted: Callable[[socket.socket], socket.socket] | None,
    ) -> None:
        super().__init__(address, handler)
        self._encrypted = encrypted

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        return (connection if self._encrypted is None else self._encrypted(connection)), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client left, or spoke something else."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Pages(BaseHTTPRequestHandler):
    """One request. The four attributes are set by `HealthPages`."""

    health: Callable[[], Health]
    drain: Callable[[], None]
    metrics_url: Callable[[], str]
    check_reader: Callable[[Iterable[tuple[str, str]]], object]
    timeout = _SECONDS
    protocol_version = "HTTP/1.1"
    server_version = "lafi"
    sys_version = ""

    def do_GET(self) -> None:
        """GET: the pages."""
        health = self.health()
        if self.path == "/livez":
            self._answer(health.live, health)
        elif self.path == "/readyz":
            self._answer(health.ready, health)
        elif self.path == "/metrics":
            self._answer_metrics(health)
        elif self.path == "/drain":
            self._send(405, "text/plain", "ask with POST\n")
        else:
            self._send(404, "text/plain", "allowed: /livez, /readyz, /metrics, POST /drain\n")

    def do_POST(self) -> None:
        """POST /drain, from this machine only."""
        if self.path != "/drain":
            self._send(404, "text/plain", "allowed: POST /drain\n")
        elif not _is_own(self.client_address[0]):
            self._send(403, "text/plain", "/drain: allowed from this machine only\n")
        else:
            self.drain()
            self._answer(True, self.health(), 202)

    def _answer_metrics(self, health: Health) -> None:
        try:
            self.check_reader(self.headers.items())
        except RequestRefused as error:
            unknown = error.code is grpc.StatusCode.UNAUTHENTICATED
            self._send(401 if unknown else 403, "text/plain", f"{error}\n")
        else:
            self._send(200, "text/plain; version=0.0.4", _metrics(self.metrics_url(), health))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: probes come every few seconds."""

    def _answer(self, good: bool, health: Health, status: int = 200) -> None:
        said = {"ready": health.ready, "in_flight": health.in_flight, "why": health.why}
        self._send(status if good else 503, "application/json", json.dumps(said) + "\n")

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


def _is_own(address: str) -> bool:
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _metrics(url: str, health: Health) -> str:
    """Triton Server's numbers, those of our models among them, and the supervisor's."""
    lines = [
        "# HELP lafi_ready Whether requests are taken",
        "# TYPE lafi_ready gauge",
        f"lafi_ready {int(health.ready)}",
        "# HELP lafi_requests_in_flight Requests that clients wait for",
        "# TYPE lafi_requests_in_flight gauge",
        f"lafi_requests_in_flight {health.in_flight}",
        "# HELP lafi_restarts_total Restarts of a part that died or hung",
        "# TYPE lafi_restarts_total counter",
        *(
            f'lafi_restarts_total{{part="{part}"}} {count}'
            for part, count in health.restarts.items()
        ),
    ]
    return (_fetched(url) if url else "") + "\n".join(lines) + "\n"


def _fetched(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, OSError):
        return ""
