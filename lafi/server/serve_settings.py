"""What `lafi serve` can be asked for, with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lafi.front.control import PeerSettings
from lafi.server.exposure import Exposure

REQUEST_MIB = 128
REQUESTS_MIB = 512
UNREAD_SECONDS = 30.0
CANARY_SECONDS = 60.0
STARTUP_SECONDS = 300.0
GRACE_SECONDS = 25.0
"""Kubernetes kills after 30."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `lafi serve` was asked for. Port 0 picks a free one; http_port None: closed.

    environment: further settings of the models.
    grace: seconds that storyboards in flight have to be finished once the server is to stop.
    request_mib, requests_mib: of one request, and of all that are under way.
    unread_seconds: for how long a client may leave an answer unread.
    startup_seconds: after how long a server that is not ready has failed.
    peers: the other servers behind the same address; None: there are none.
    triton_server: which one to run, as `lafi.server.find_server.places` takes it.
    verbose: print every line of the server's log, not only warnings, errors and our models' lines.
    """

    host: str = "127.0.0.1"
    grpc_port: int = 8001
    health_port: int = 8002
    http_port: int | None = None
    threads: int | None = None
    log_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    verbose: bool = False
    grace: float = GRACE_SECONDS
    request_mib: int = REQUEST_MIB
    requests_mib: int = REQUESTS_MIB
    unread_seconds: float = UNREAD_SECONDS
    canary_seconds: float = CANARY_SECONDS
    startup_seconds: float = STARTUP_SECONDS
    exposure: Exposure = field(default_factory=Exposure)
    peers: PeerSettings | None = None
    triton_server: str | None = None
