"""One run of Triton Server: started on a repository, watched through its processes, stopped.

Knows processes and log files, not storyboards. Clients never reach it: its gRPC listens on a Unix
socket in a folder of its own, and its metrics on a loopback port.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from shutil import rmtree
from textwrap import indent

from lafi.front.run_folder import RUN_FOLDER, SOCKET_PORT, RunFolder
from lafi.model.info import ModelInfoError, check_format
from lafi.server import processes
from lafi.server.log import failure_lines
from lafi.server.processes import SERVER_NAME
from lafi.server.serve_settings import STARTUP_SECONDS
from lafi.server.triton_install import STUB, TritonInstall
from lafi.server.watchdog import SHARED_MEMORY

DEFAULT_RECIPE = "LAFI_DEFAULT_RECIPE"
"""Environment variable for the models: a recipe by its name or file."""
THREADS = "LAFI_THREADS"
"""Environment variable for the models: CPU threads for each engine."""

_RESTRICTED_PROTOCOLS = "model-repository,shared-memory,trace,logging"
_PORT_TAKEN = "Address already in use"
# On a busy machine the stub or the server gives up after waiting 10 s for a lock of the other.
_LOCK_TIMEOUT = "boost::interprocess::lock_exception"


class RepositoryError(RuntimeError):
    """The folder to serve is missing or was not written by this version's `lafi export`."""


class ServerFailedError(RuntimeError):
    """Triton Server did not become ready, or died; the text quotes its log."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What every run of one server has in common.

    name: of the server, with which its shared memory begins. http: (host, port) of Triton Server's
    own HTTP, None: closed. key: opens the calls that write files or
    map memory; nobody gets it. threads: of each engine. startup_seconds: until all models are
    ready. stop_seconds: after SIGTERM.
    """

    name: str
    repository: Path
    install: TritonInstall
    key: str
    threads: int
    http: tuple[str, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    startup_seconds: float = STARTUP_SECONDS
    stop_seconds: float = 10.0


class TritonServer:
    """The processes of one run, from their start to their end."""

    def __init__(self, settings: RunSettings, folder: Path, log: Path, metrics_port: int) -> None:
        """folder: made for this run. log: the raw output is appended. metrics_port: loopback."""
        self.folder = RunFolder(folder)
        self._settings = settings
        self._log = log
        self._metrics_port = metrics_port
        self._log_begins = log.stat().st_size if log.is_file() else 0
        self._models: dict[int, str] = {}
        self.folder.path.mkdir()
        self.folder.cancelled("").mkdir()
        self.folder.taken("").mkdir()
        binary, backends = settings.install.lay_out(folder)
        environment = {RUN_FOLDER: str(folder), SERVER_NAME: settings.name, "TMPDIR": str(folder)}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(binary), *self._arguments(backends)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=server_environment(
                    settings.threads,
                    settings.install.libraries,
                    {**settings.environment, **environment},
                ),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The server's process id, which is also that of its group."""
        return self._process.pid

    @property
    def metrics_url(self) -> str:
        """Triton Server's own numbers and those of our models."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics"

    def remember_models(self) -> None:
        """Look which process serves which model; to be called once all models are ready."""
        self._models = {
            pid: _model_of(command)
            for pid, command in processes.children_of(self.pid).items()
            if command and Path(command[0]).name == STUB
        }

    def trouble(self) -> str | None:
        """What has died or was stopped; None if the server and all its models run."""
        code = self._process.poll()
        if code is not None:
            return self.explain(f"Triton Server {_ending(code)}")
        if processes.state_of(self.pid) == "T":
            return "Triton Server was stopped"
        for pid, model in self._models.items():
            state = processes.state_of(pid)
            if state in ("", "Z", "X", "T"):
                return (
                    f"the process of the model {model} {'was stopped' if state == 'T' else 'died'}"
                )
        return None

    def cpu_seconds(self) -> float:
        """CPU time of the server and its models so far."""
        return processes.cpu_seconds([self.pid, *self._models])

    def explain(self, what: str) -> str:
        """`what`, and what this run's log says about it."""
        lines: list[str] = []
        if self._log.is_file():
            with self._log.open("rb") as log:
                log.seek(self._log_begins)
                lines = failure_lines(log.read().decode(errors="replace"))
        return "\n".join(
            [f"{what}; its log ({self._log}) says:", *(indent(line, "  ") for line in lines)]
        )

    def stop(self) -> None:
        """End it: drawings fail as retryable, then SIGTERM, after a while SIGKILL."""
        if self._process.poll() is None:
            # Triton Server waits for storyboards in flight; the stop file makes them end early.
            self.folder.stop.touch()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._settings.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """End it and all its processes at once, and remove what they left."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        processes.wait_for_group(self.pid, 1.0)
        for region in SHARED_MEMORY.glob(f"{self._settings.name}-*"):
            region.unlink(missing_ok=True)
        rmtree(self.folder.path, ignore_errors=True)

    def _arguments(self, backends: Path) -> list[str]:
        run = self._settings
        closed = f"{_RESTRICTED_PROTOCOLS}:lafi-key={run.key}"
        settings = {
            "model-repository": (run.repository / "models").resolve(),
            "backend-directory": backends,
            # Relative to the working directory, since the path of a Unix socket must be short.
            "grpc-address": f"unix:{self.folder.socket.name}",
            "grpc-port": SOCKET_PORT,
            "metrics-address": "127.0.0.1",
            "metrics-port": self._metrics_port,
            "grpc-restricted-protocol": closed,
            "exit-timeout-secs": max(1, int(run.stop_seconds)),
        }
        if run.http is None:
            settings["allow-http"] = "false"
        else:
            host, port = run.http
            settings |= {"http-address": host, "http-port": port, "http-restricted-api": closed}
        backend = {
            "shm-region-prefix-name": f"{run.name}-",
            "stub-timeout-seconds": max(30, int(run.startup_seconds)),
        }
        return [
            *(f"--{name}={value}" for name, value in settings.items()),
            *(f"--backend-config=python,{name}={value}" for name, value in backend.items()),
        ]


def is_worth_retrying(failure: str) -> bool:
    """True if another start may succeed: a free port was taken meanwhile, or a lock timed out."""
    return _PORT_TAKEN in failure or _LOCK_TIMEOUT in failure


def find_models(repository: Path) -> tuple[str, ...]:
    """Names of the models in a repository.

    Raises RepositoryError unless `storyboard` is among them and the format number is ours.
    """
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
        config = models / name / "config.pbtxt"
        try:
            config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RepositoryError(f"{config} cannot be read: {error}; {advice}") from None
    try:
        check_format(repository / "artifacts")
    except ModelInfoError as error:
        raise RepositoryError(str(error)) from error
    return names


def check_gives_named_ids(repository: Path) -> None:
    """Raises RepositoryError unless its adapter is this version's: earlier ones know no names.

    An id without its server's name would be asked for at the wrong one.
    """
    own = files("lafi_repository") / "storyboard" / "1" / "model.py"
    if (repository / "models" / "storyboard" / "1" / "model.py").read_bytes() != own.read_bytes():
        raise RepositoryError(
            f"--pod: got {repository}, whose adapter is another version's, allowed: a repository "
            "that this version exported; export it again"
        )


def server_environment(
    threads: int, libraries: tuple[Path, ...], extra: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the server's processes.

    PATH begins with our Python's folder, because the stub uses the packages of the first `python`
    on it. OpenMP threads wait passively, so that they leave the cores to other engines. No ONNX
    Runtime, Triton Server's own neither, reports to its makers.
    """
    inherited = os.environ.get("LD_LIBRARY_PATH", "")
    paths = [str(folder) for folder in libraries] + ([inherited] if inherited else [])
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LD_LIBRARY_PATH": os.pathsep.join(paths),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "ORT_DISABLE_TELEMETRY": os.environ.get("ORT_DISABLE_TELEMETRY", "1"),
        "OMP_NUM_THREADS": str(threads),
        THREADS: str(threads),
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _model_of(command: list[str]) -> str:
    """The model that a stub serves: its first argument is .../MODEL/VERSION/model.py."""
    return Path(command[1]).parents[1].name if len(command) > 1 else "unknown"
