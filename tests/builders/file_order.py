"""The order of test files, so that no process of a parallel run waits for another's export.

The first file exports the tiny repository, which takes a minute or more. Meanwhile the other
processes run files that do not need it; those that do come last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

_FIRST: Final = Path("export/test_repository.py")
_EXPORTED: Final = "repository"
"""The fixture."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file; within a file nothing changes."""
    need = {item.path for item in items if _EXPORTED in getattr(item, "fixturenames", ())}

    def place(item: pytest.Item) -> int:
        if item.path.parts[-2:] == _FIRST.parts:
            return 0
        return 2 if item.path in need else 1

    items.sort(key=place)
