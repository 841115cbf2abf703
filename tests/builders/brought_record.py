"""The record of how brought inputs went: hooks for `tests/conftest.py`.

With several test processes, only the one that starts the others counts and writes.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_configure", "pytest_sessionfinish"]
RECORD = "--brought-record"
KINDS = ("tried", "right", "refused_as_expected", "wrong")


class Record:
    """How many inputs of each kind went how."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Of one process each, without what its fixtures took."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        given = dict(report.user_properties)
        if report.when != "call" or "brought" not in given:
            return
        counts = self.counts.setdefault(str(given["brought"]), Counter())
        outcome = str(given["expected"]) if report.passed else "wrong"
        counts.update(["tried", outcome])
        self.seconds[str(given["brought"])] += report.duration

    def save(self, path: Path, marks: str) -> None:
        """Kinds of input that this run did not try stay as the file has them.

        marks: which tests ran, as `pytest -m` takes it.
        """
        earlier = json.loads(path.read_text(encoding="utf-8"))["kinds"] if path.exists() else {}
        own = {name: {k: c[k] for k in KINDS} for name, c in self.counts.items()}
        for name, counts in own.items():
            counts["seconds"] = round(self.seconds[name])
        kinds = earlier | own
        content: dict[str, Any] = {
            **{k: sum(counts.get(k, 0) for counts in kinds.values()) for k in (*KINDS, "seconds")},
            "kinds": dict(sorted(kinds.items())),
            "made_by": f"python -m pytest tests/brought -m '{marks}' {RECORD} FILE",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(RECORD, type=Path, help="write how every brought input went to this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Record(), "brought_record")


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption(RECORD)
    record = session.config.pluginmanager.get_plugin("brought_record")
    if path is not None and record.counts and not hasattr(session.config, "workerinput"):
        record.save(path, session.config.getoption("-m"))
