"""The files through which supervisor, front and served models of one run tell each other things.

A run is one life of Triton Server; each has a folder of its own, which ends with it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

RUN_FOLDER = "LAFI_RUN_FOLDER"
"""Environment variable for the served models: path of the run's folder."""
REQUEST_KEY = "lafi_request"
"""Request parameter that the front sets: the name under which it may call a request off."""
SOCKET_PORT = 1
"""Triton Server writes `:PORT` behind the name of its Unix socket."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run's files. Absolute or relative, as `path` is."""

    path: Path

    @property
    def stop(self) -> Path:
        """Exists once the server is about to stop, so that drawings end early."""
        return self.path / "stop"

    @property
    def ready(self) -> Path:
        """Exists once every model was ready."""
        return self.path / "ready"

    @property
    def heartbeat(self) -> Path:
        """What the model `storyboard` has done: see `lafi.serving.heartbeat`."""
        return self.path / "heartbeat"

    @property
    def socket(self) -> Path:
        """The Unix socket of Triton Server's gRPC, as the server is told."""
        return self.path / "grpc"

    @property
    def target(self) -> str:
        """The same as a gRPC client takes it."""
        return f"unix:{self.socket}:{SOCKET_PORT}"

    def taken(self, key: str) -> Path:
        """As long as what the front has passed on of the answers to the request with this key."""
        return self.path / "taken" / key

    def cancelled(self, key: str) -> Path:
        """Exists once nobody waits any more for the request with this key."""
        return self.path / "cancelled" / key


def own_run_folder() -> RunFolder | None:
    """The run that this process of a served model belongs to; None outside a server of ours."""
    path = os.environ.get(RUN_FOLDER)
    return RunFolder(Path(path)) if path else None
