"""A folder with a path that is short enough for a Unix socket."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lafi") as folder:
        yield Path(folder)
