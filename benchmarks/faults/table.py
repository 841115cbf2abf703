"""All tests, running them, and summing up what they gave."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.attempt import Attempt, Bench, FaultTest
from benchmarks.faults.rows.crowds import Disconnects, Load, Overload, Refusals, SlowReaders
from benchmarks.faults.rows.disks import Damage, DamagedRepository, FullDisk, TwoServers
from benchmarks.faults.rows.fuzz import FuzzDocuments, FuzzImages, FuzzRequests
from benchmarks.faults.rows.kills import KillModels, KillParts, Terminate
from benchmarks.faults.rows.rolling import ROLLING

NOTED = "tries.jsonl"
TESTS: Sequence[FaultTest] = (
    Load(),
    Overload(),
    Refusals(),
    KillModels(),
    KillParts(),
    Terminate(),
    Disconnects(),
    SlowReaders(),
    FullDisk(),
    Damage(),
    DamagedRepository(),
    FuzzRequests(),
    FuzzImages(),
    FuzzDocuments(),
    TwoServers(),
    *ROLLING,
)
SHOWN_FAILURES = 5


def run_tests(
    tests: Iterable[FaultTest],
    repository: Path,
    work: Path,
    state: Path,
    *,
    short: bool,
    tell: Callable[[str], object],
) -> None:
    """Do the tries that are not noted in `state` yet, and note each as soon as it is done."""
    bench = Bench(repository, work)
    done = {(each["test"], each["try"]) for each in tries_in(state)}
    for test in tests:
        count = test.short if short else test.full
        numbers = [number for number in range(count) if (test.name, number) not in done]
        tell(f"{test.name}: {len(numbers)} of {count} tries")
        if not numbers:
            continue
        # Not zip: it would take one result more than there are numbers from a generator.
        results = test.attempts(bench, numbers)
        with (state / NOTED).open("a") as noted:
            for number, attempt in numbered(numbers, results):
                row = {"test": test.name, "demand": test.demand, "try": number}
                noted.write(json.dumps({**row, **attempt._asdict()}) + "\n")
                noted.flush()
                if attempt.failed:
                    tell(f"  try {number} failed: {attempt.failed}")


def numbered(numbers: Sequence[int], results: Iterator[Attempt]) -> Iterator[tuple[int, Attempt]]:
    """Each try with its result. What is raised by a test is a failure of the try it was at."""
    done = 0
    try:
        for number, attempt in zip(numbers, results, strict=True):
            done += 1
            yield number, attempt
    except Exception as error:
        if done == len(numbers):
            raise
        yield numbers[done], Attempt(f"{type(error).__name__}: {error}")


def tries_in(state: Path) -> list[dict[str, Any]]:
    """All tries that are noted."""
    path = state / NOTED
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def summed_up(tries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each test: how many tries, how many failed and how, least, median and most."""
    rows = []
    for test in TESTS:
        own = [each for each in tries if each["test"] == test.name]
        if not own:
            continue
        failed = [each["failed"] for each in own if each["failed"]]
        names = {name: None for each in own for name in each["figures"]}
        rows.append(
            {
                "test": test.name,
                "demand": test.demand,
                "tried": len(own),
                "failed": len(failed),
                "failures": failed[:SHOWN_FAILURES],
                "figures": {name: _spread(own, name) for name in names},
            }
        )
    return rows


def _spread(tries: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    values = [each["figures"][name] for each in tries if name in each["figures"]]
    figures = {"least": min(values), "median": statistics.median(values), "most": max(values)}
    return {key: round(value, 4) for key, value in figures.items()}
