"""The server that tests of the desk share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk_server import Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(**options: Any) -> Server:
        started.append(Server(tmp_path, **options))
        return started[-1]

    yield start
    for server in started:
        server.end()
