"""The order of test files, so that no process of a parallel run waits for another's export.

The first file exports a repository, which takes minutes. Meanwhile other processes run files that
need none. Then one file makes of it another repository, while others run files that need the first
one; those that need the second come last.
"""

from __future__ import annotations

from typing import Final

import pytest

_MAKERS: Final = {
    "repository": "export/test_repository.py",
    "steered_repository": "export/test_steered_repository.py",
}
"""Fixtures that several files share, and which file makes each; the second takes the first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file; within a file nothing changes."""
    needs = {
        name: {item.path for item in items if name in getattr(item, "fixturenames", ())}
        for name in _MAKERS
    }

    def place(item: pytest.Item) -> int:
        file = "/".join(item.path.parts[-2:])
        if file in _MAKERS.values():
            return 2 * list(_MAKERS.values()).index(file)
        if item.path in needs["steered_repository"]:
            return 4
        return 3 if item.path in needs["repository"] else 1

    items.sort(key=place)
