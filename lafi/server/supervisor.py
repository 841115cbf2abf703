"""The supervisor: starts the front and Triton Server, watches both, and starts again what fails.

    supervisor ---- front                clients' gRPC port; passes requests on
        |      ---- Envoy                if asked for: clients' gRPC port, before the front
        |      ---- Triton Server        gRPC on a Unix socket that only the front knows
        |               storyboard, vae_decoder ...    a process for each model
        |      ---- health pages         /livez, /readyz, /drain, /metrics; a thread
        \\----- watchdog                 ends all of them if the supervisor is killed

Knows processes, ports and log files, not storyboards.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from lafi.front.control import FrontSettings, PeerSettings
from lafi.server.cores import usable_cores
from lafi.server.envoy_config import FRONT_SOCKET
from lafi.server.envoy_process import EnvoySettings, find_envoy
from lafi.server.exposure import Exposure
from lafi.server.find_server import check_backends, find_server
from lafi.server.free_ports import HeldPorts, hold_ports, url_host
from lafi.server.health_pages import Health
from lafi.server.leftovers import PREFIX, SignOfLife, remove_leftovers
from lafi.server.log import LogLine
from lafi.server.parts import Parts, PartsSettings
from lafi.server.serve_settings import (
    CANARY_SECONDS,
    REQUEST_MIB,
    REQUESTS_MIB,
    STARTUP_SECONDS,
    UNREAD_SECONDS,
)
from lafi.server.triton_install import TritonInstall
from lafi.server.triton_server import RunSettings, check_gives_named_ids, find_models
from lafi.server.watchdog import SHARED_MEMORY


class Supervisor:
    """A server for clients that runs while the context is open.

    repository: a folder written by `lafi export` (it holds `models/` and `artifacts/`).
    Ports: 0 picks a free one; http_port: of Triton Server's own HTTP, None: closed.
    on_line: called with every line of the log, on_event: with what the supervisor does about a
    part that failed, both in other threads. log_file: where the raw log goes (default: a temporary
    folder, kept only if the server failed at its end). threads: CPU threads for each engine
    (default: the cores that this process may use). startup_seconds, stop_timeout: of Triton Server.
    canary_seconds: after how long without a request a small panel is drawn; 0: never.
    request_mib, requests_mib: most MiB of one request, and of all clients' that are under way.
    unread_seconds: for how long a client may leave an answer unread. exposure: what protects the
    ports. peers: the other servers behind the same address, None: there are none.
    triton_server: which one to run, as `lafi.server.find_server.places` takes it.

    Raises ValueError for settings that make no sense, ExposureError, KeyFileError and
    TlsFilesError among them.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        health_port: int = 0,
        http_port: int | None = None,
        on_line: Callable[[LogLine], None] = lambda line: None,
        on_event: Callable[[str], None] = lambda text: None,
        log_file: Path | None = None,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        startup_seconds: float = STARTUP_SECONDS,
        stop_timeout: float = 10.0,
        canary_seconds: float = CANARY_SECONDS,
        request_mib: int = REQUEST_MIB,
        requests_mib: int = REQUESTS_MIB,
        unread_seconds: float = UNREAD_SECONDS,
        exposure: Exposure = Exposure(),  # noqa: B008 - frozen
        peers: PeerSettings | None = None,
        triton_server: str | None = None,
    ) -> None:
        exposure.check(host, http=http_port is not None)
        if not 1 <= request_mib < 2048:
            raise ValueError(f"request_mib: got {request_mib}, allowed: 1 to 2047")
        if requests_mib < request_mib:
            raise ValueError(
                f"requests_mib: got {requests_mib}, allowed: {request_mib} or more, the size of one"
            )
        self.repository = repository
        self.host = host
        self.ports: dict[str, int] = {}
        self.models: tuple[str, ...] = ()
        self.name = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._wanted = {"grpc": grpc_port, "health": health_port}
        if http_port is not None:
            self._wanted["http"] = http_port
        self._on_line = on_line
        self._on_event = on_event
        self._asked_log_file = log_file
        self._threads = threads or max(1, int(usable_cores()))
        self._environment = {**(environment or {}), **(peers.environment() if peers else {})}
        self._timeouts = (startup_seconds, stop_timeout)
        self._canary_seconds = canary_seconds
        self._exposure = exposure
        self._peers = peers.like(exposure.tls) if peers else None
        self._asked_server = triton_server
        self._request_bytes = request_mib * 2**20
        self._bytes_in_flight = requests_mib * 2**20
        self._unread_seconds = unread_seconds
        self._parts: Parts | None = None
        self._held: HeldPorts | None = None
        self._life: SignOfLife | None = None
        self._log_file: Path | None = None

    @property
    def grpc_url(self) -> str:
        """ "host:port", the form that gRPC clients take."""
        return f"{url_host(self.host)}:{self.ports['grpc']}"

    @property
    def client_url(self) -> str:
        """The same as our own clients take it: with `grpcs://` before it where there is TLS."""
        return f"grpcs://{self.grpc_url}" if self._exposure.tls else self.grpc_url

    @property
    def http_url(self) -> str | None:
        """ "http://host:port" of Triton Server's HTTP; None where it is closed."""
        port = self.ports.get("http")
        return None if port is None else f"http://{url_host(self.host)}:{port}"

    @property
    def health_url(self) -> str:
        """ "http://host:port", below which /livez, /readyz and /drain are; https with TLS."""
        scheme = "https" if self._exposure.tls else "http"
        return f"{scheme}://{url_host(self.host)}:{self.ports['health']}"

    @property
    def metrics_url(self) -> str:
        """ "http://host:port/metrics", in the format of Prometheus."""
        return f"{self.health_url}/metrics"

    @property
    def raw_log(self) -> Path:
        """The file with everything that Triton Server and the front wrote."""
        if self._log_file is None:
            raise RuntimeError("the server has no log before its start")
        return self._log_file

    @property
    def shared_memory_prefix(self) -> str:
        """With which the names of Triton Server's files in shared memory begin."""
        return f"{self.name}-"

    @property
    def pid(self) -> int | None:
        """Triton Server's process id; None while it does not run."""
        server = self._parts.server if self._parts else None
        return server.pid if server else None

    @property
    def inner_target(self) -> str:
        """Triton Server's own gRPC, without the front: for measurements, never for clients."""
        server = self._parts.server if self._parts else None
        if server is None:
            raise RuntimeError("Triton Server does not run")
        return server.folder.target

    @property
    def front_pid(self) -> int | None:
        """The front's process id; None before the start and after the stop."""
        return self._parts.front.pid if self._parts else None

    @property
    def envoy_pid(self) -> int | None:
        """Envoy's process id; None where there is none."""
        envoy = self._parts.envoy if self._parts else None
        return envoy.pid if envoy else None

    @property
    def watchdog_pid(self) -> int | None:
        """The watchdog's process id; None before the start and after the stop."""
        return self._parts.watchdog.pid if self._parts else None

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Starts all parts; returns when every model is ready or `cancelled()` is true.

        Raises ServerUnavailableError, RepositoryError, PortTakenError or ServerFailedError; in
        that case everything but the log is removed.
        """
        self.models = find_models(self.repository)
        if self._peers is not None:
            check_gives_named_ids(self.repository)
        install = find_server(self._asked_server)
        check_backends(self.repository, self.models, install)
        envoy = find_envoy() if self._exposure.envoy else None
        try:
            self._held = hold_ports(self.host, self._wanted)
            self.ports = self._held.numbers
            self._life = SignOfLife(self.name, SHARED_MEMORY)
            for gone in remove_leftovers(SHARED_MEMORY, [Path(tempfile.gettempdir())]):
                self._on_event(f"removed what the server {gone} left, which was killed")
            folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
            settings = self._settings(install, envoy, folder)
            self._log_file = settings.log
            self._parts = Parts(settings, self._on_line, self._on_event)
            self._parts.start(cancelled)
        except BaseException:
            self.stop()
            raise

    def _settings(self, install: TritonInstall, envoy: Path | None, folder: Path) -> PartsSettings:
        """folder: made for this server."""
        startup, stop = self._timeouts
        run = RunSettings(
            name=self.name,
            repository=self.repository.resolve(),
            install=install,
            key=uuid.uuid4().hex,
            threads=self._threads,
            http=(self.host, self.ports["http"]) if "http" in self.ports else None,
            environment=self._environment,
            startup_seconds=startup,
            stop_seconds=stop,
        )
        guard = self._exposure
        front = FrontSettings(
            address=f"unix:{FRONT_SOCKET}" if envoy else self.grpc_url,
            artifacts=str((self.repository / "artifacts").resolve()),
            request_bytes=self._request_bytes,
            canary_seconds=self._canary_seconds,
            bytes_in_flight=self._bytes_in_flight,
            unread_seconds=self._unread_seconds,
            keys=str(guard.keys.resolve()) if guard.keys else "",
            tls=None if envoy else guard.tls,
            open_parts=guard.open_parts,
            peers=self._peers,
        )
        return PartsSettings(
            self.models,
            run,
            front,
            (self.host, self.ports["health"]),
            folder,
            self._asked_log_file or folder / "server.log",
            guard.tls,
            EnvoySettings(envoy, self.host, self.ports["grpc"], guard.tls) if envoy else None,
        )

    def is_ready(self) -> bool:
        """Whether requests are taken and, as far as is known, answered."""
        return self.health().ready

    def health(self) -> Health:
        """What the health pages show."""
        if self._parts is None:
            return Health(False, False, "the server does not run", 0, {})
        return self._parts.health()

    def drain(self, seconds: float, ended: Callable[[], bool] = lambda: False) -> bool:
        """Take nothing new, and let what is in flight be finished, for at most so many seconds.

        True if nothing is left; false also as soon as `ended()` is true.
        """
        return self._parts is None or self._parts.drain(seconds, ended)

    def stop(self) -> None:
        """Stops all parts (SIGTERM, then SIGKILL) and removes their files. Safe to call twice.

        What is in flight fails as retryable. The raw log stays if `log_file` was given, or if
        something had failed and the server is not ready again.
        """
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.stop()
        if self._held is not None:
            self._held.release()
        if self._life is not None:
            self._life.release()
            self._life = None
