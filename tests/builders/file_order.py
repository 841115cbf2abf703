"""The order of test files, so that no process of a parallel run waits for another's export.

The first files export a repository each, which takes minutes. Meanwhile other processes run files
that need none; those that do come last.
"""

from __future__ import annotations

from typing import Final

import pytest

_FIRST: Final = {
    "repository": "export/test_repository.py",
    "steered_repository": "export/test_steered_repository.py",
}
"""Fixtures that several files share, and which file makes each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file; within a file nothing changes."""
    need = {item.path for item in items if _FIRST.keys() & set(getattr(item, "fixturenames", ()))}
    makers = list(_FIRST.values())

    def place(item: pytest.Item) -> int:
        file = "/".join(item.path.parts[-2:])
        if file in makers:
            return makers.index(file)
        return len(makers) + (item.path in need)

    items.sort(key=place)
