"""Starts a Triton Server on a repository that `lafi export` wrote, watches it and stops it.

Knows processes, ports and log files, not storyboards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from textwrap import indent
from types import TracebackType

from lafi.server.free_ports import choose_ports, url_host
from lafi.server.log import LogFollower, LogLine, failure_lines
from lafi.server.wheel import find_embedded_server

STOP_FILE = "LAFI_STOP_FILE"
"""Environment variable for the models: path of a file that exists once the server will stop."""
THREADS = "LAFI_THREADS"
DEFAULT_RECIPE = "LAFI_DEFAULT_RECIPE"
"""Environment variable for the models: CPU threads for each engine."""

# Asks the kernel to send SIGTERM if our process dies, then turns into the server with exec.
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_RESTRICTED_PROTOCOLS = "model-repository,shared-memory,trace,logging"
_PORT_TAKEN = "Address already in use"
# On a busy machine the stub or the server gives up after waiting 10 s for a lock of the other.
_LOCK_TIMEOUT = "boost::interprocess::lock_exception"
_SHARED_MEMORY = Path("/dev/shm")


class RepositoryError(RuntimeError):
    """The folder to serve is missing or was not written by `lafi export`."""


class ServerFailedError(RuntimeError):
    """Triton Server did not become ready, or died; the text quotes its log."""


class TritonServer:
    """A Triton Server process that runs while the context is open.

    repository: a folder written by `lafi export` (it holds `models/` and `artifacts/`).
    Ports: 0 picks a free one. on_line: called with every line of the server's log, in another
    thread. log_file: where the raw log goes (default: a temporary folder, kept only if the server
    failed). threads: CPU threads for each engine (default: the cores of this process).
    startup_timeout, stop_timeout: seconds.

    If this process dies without stopping the server, the kernel stops it. The kernel already does
    so when the thread that called `start` ends, so call it from a thread that lives longer.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        on_line: Callable[[LogLine], None] | None = None,
        log_file: Path | None = None,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        startup_timeout: float = 300.0,
        stop_timeout: float = 10.0,
    ) -> None:
        self.repository = repository
        self.host = host
        self.ports: dict[str, int] = {}
        self.models: tuple[str, ...] = ()
        self._asked_log_file = log_file
        self._log_file: Path | None = None
        self._wanted = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._on_line = on_line or (lambda line: None)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._environment = dict(environment or {})
        self._startup_timeout = startup_timeout
        self._stop_timeout = stop_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._follower: LogFollower | None = None
        self._folder: Path | None = None
        # These protocols write files or map memory, so clients must not use them. The server
        # allows them only with this random key, which is given to no client.
        self._restricted_protocols = f"{_RESTRICTED_PROTOCOLS}:lafi-key={uuid.uuid4().hex}"
        self.shared_memory_prefix = f"lafi-{os.getpid()}-{uuid.uuid4().hex[:8]}-"

    @property
    def grpc_url(self) -> str:
        """ "host:port", the form that gRPC clients take."""
        return f"{url_host(self.host)}:{self.ports['grpc']}"

    @property
    def http_url(self) -> str:
        """ "http://host:port"."""
        return f"http://{url_host(self.host)}:{self.ports['http']}"

    @property
    def metrics_url(self) -> str:
        """ "http://host:port/metrics", in the format of Prometheus."""
        return f"http://{url_host(self.host)}:{self.ports['metrics']}/metrics"

    @property
    def raw_log(self) -> Path:
        """The file with everything that the server wrote."""
        if self._log_file is None:
            raise RuntimeError("the server has no log before its start")
        return self._log_file

    @property
    def _stop_file(self) -> Path:
        return (self._folder or Path()) / "stop"

    @property
    def pid(self) -> int | None:
        """The server's process id; None before the start and after the stop."""
        return self._process.pid if self._process else None

    def __enter__(self) -> TritonServer:
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
        """Starts the server; returns when every model is ready or `cancelled()` is true.

        Raises ServerUnavailableError, RepositoryError, PortTakenError or ServerFailedError; in
        that case everything but the log is removed.
        """
        self.models = find_models(self.repository)
        embedded = find_embedded_server()
        for attempts_left in (2, 1, 0):
            self.ports = choose_ports(self.host, self._wanted)
            self._folder = Path(tempfile.mkdtemp(prefix="lafi-server-"))
            self._log_file = self._asked_log_file or self._folder / "server.log"
            try:
                binary, backends = embedded.lay_out(self._folder)
                self._launch(binary, backends, embedded.libraries)
                self._wait_until_ready(cancelled)
            except ServerFailedError as error:
                retry = attempts_left > 0 and self._is_worth_retrying(str(error))
                self.stop(keep_log=not retry)
                if not retry:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def _is_worth_retrying(self, failure: str) -> bool:
        """True if another start may succeed: a free port was taken meanwhile, or a lock timed out.

        A port that the caller chose stays taken, so that is not retried.
        """
        port_taken = _PORT_TAKEN in failure and not all(self._wanted.values())
        return port_taken or _LOCK_TIMEOUT in failure

    def poll(self) -> str | None:
        """None while the server runs; after its death, the reason according to its log."""
        if self._process is None:
            return "the server is not running"
        code = self._process.poll()
        return None if code is None else self._explain(f"Triton Server {_ending(code)}")

    def is_ready(self) -> bool:
        """True if the server answers and every model of the repository is ready."""
        paths = ["/v2/health/ready", *(f"/v2/models/{name}/ready" for name in self.models)]
        return all(_answers(self.http_url + path) for path in paths)

    def stop(self, *, keep_log: bool = False) -> None:
        """Stops the server (SIGTERM, then SIGKILL) and removes its files. Safe to call twice.

        The raw log stays if `log_file` was given, if the server had died, or with keep_log.
        """
        process, self._process = self._process, None
        if process is not None:
            keep_log = self._end(process) or keep_log
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        for region in _SHARED_MEMORY.glob(self.shared_memory_prefix + "*"):
            region.unlink(missing_ok=True)
        if self._folder is not None:
            self._stop_file.unlink(missing_ok=True)
            rmtree(self._folder / "backends" if keep_log else self._folder, ignore_errors=True)
            self._folder = None

    def _launch(self, binary: Path, backends: Path, libraries: tuple[Path, ...]) -> None:
        log = self.raw_log
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {STOP_FILE: str(self._stop_file), **self._environment}
        command = [sys.executable, "-I", "-c", _LAUNCHER, str(os.getpid()), str(binary)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, *self._arguments(backends)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=server_environment(self._threads, libraries, environment),
                start_new_session=True,
            )
        self._follower = LogFollower(log, self._on_line)
        self._follower.start()

    def _arguments(self, backends: Path) -> list[str]:
        settings = {
            "model-repository": (self.repository / "models").resolve(),
            "backend-directory": backends,
            "grpc-address": self.host,
            "http-address": self.host,
            "metrics-address": self.host,
            **{f"{name}-port": port for name, port in self.ports.items()},
            "http-restricted-api": self._restricted_protocols,
            "grpc-restricted-protocol": self._restricted_protocols,
            "exit-timeout-secs": max(1, int(self._stop_timeout)),
        }
        backend = {
            "shm-region-prefix-name": self.shared_memory_prefix,
            "stub-timeout-seconds": max(30, int(self._startup_timeout)),
        }
        return [
            *(f"--{name}={value}" for name, value in settings.items()),
            *(f"--backend-config=python,{name}={value}" for name, value in backend.items()),
        ]

    def _wait_until_ready(self, cancelled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._startup_timeout
        while not (cancelled() or self.is_ready()):
            died = self.poll()
            if died is not None:
                raise ServerFailedError(died)
            if time.monotonic() > deadline:
                waited = f"Triton Server was not ready after {self._startup_timeout:.0f} s"
                raise ServerFailedError(self._explain(waited))
            time.sleep(0.05)

    def _explain(self, what: str) -> str:
        log = self.raw_log
        lines = failure_lines(log.read_text(errors="replace")) if log.is_file() else []
        return "\n".join(
            [f"{what}; its log ({log}) says:", *(indent(line, "  ") for line in lines)]
        )

    def _end(self, process: subprocess.Popen[bytes]) -> bool:
        """Ends the process and its group; True if the process had died before."""
        died_before = process.poll() is not None
        if not died_before:
            # Triton Server waits for storyboards in flight; the stop file makes them end early.
            self._stop_file.touch()
            process.terminate()
        # An open client stream, even an idle one, stops the server from unloading the model.
        # Its storyboard has already got its last event, so killing the server loses nothing.
        with suppress(subprocess.TimeoutExpired):
            process.wait(self._stop_timeout)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _wait_for_group(process.pid, 1.0)
        return died_before


def find_models(repository: Path) -> tuple[str, ...]:
    """Names of the models in a repository; RepositoryError unless `storyboard` is among them."""
    advice = "write one with: lafi export CHECKPOINT --out REPOSITORY"
    models = repository / "models"
    if not repository.is_dir():
        raise RepositoryError(f"there is no model repository at {repository}; {advice}")
    names = tuple(sorted(path.parent.name for path in models.glob("*/config.pbtxt")))
    if "storyboard" not in names:
        found = f"only {', '.join(names)}" if names else "none"
        raise RepositoryError(
            f"{repository} is no model repository of ours: it needs the model "
            f"models/storyboard, and has {found}; {advice}"
        )
    for name in names:
        if not (models / name / "1").is_dir():
            raise RepositoryError(f"{models / name} has no version folder 1; {advice}")
    return names


def server_environment(
    threads: int, libraries: tuple[Path, ...], extra: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the server's processes.

    PATH begins with our Python's folder, because the stub uses the packages of the first `python`
    on it. OpenMP threads wait passively, so that they leave the cores to other engines.
    """
    inherited = os.environ.get("LD_LIBRARY_PATH", "")
    paths = [str(folder) for folder in libraries] + ([inherited] if inherited else [])
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join(paths),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "OMP_NUM_THREADS": str(threads),
        THREADS: str(threads),
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def _wait_for_group(leader: int, seconds: float) -> None:
    """Waits up to `seconds` until the processes of a killed group are gone."""
    deadline = time.monotonic() + seconds
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(leader, 0)
            time.sleep(0.01)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
