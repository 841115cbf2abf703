"""The short form of `benchmarks.faults`: every test of the table with a few tries.

Those that leave the server as it was share one; the others start their own, and are slow.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults.attempt import Bench, FaultTest
from benchmarks.faults.balancers import find_haproxy
from benchmarks.faults.served import Served, serve
from benchmarks.faults.table import TESTS, numbered

OWN_SERVER = (
    "SIGTERM",
    "kill -9",
    "disk full",
    "damage",
    "two servers",
    "overload",
    "disconnects",
    "rolling upgrade",
)
"""How the names of tests begin that are slow; `test_faults.py` kills a model's process always."""


@pytest.fixture(scope="module")
def served(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("faults")
    with serve(served_repository, folder / "tmp", ("--store", str(folder / "store"))) as running:
        yield running


def attempts(test: FaultTest, bench: Bench) -> dict[int, str]:
    numbers = range(test.short)
    results = numbered(numbers, test.attempts(bench, numbers))
    return {number: attempt.failed for number, attempt in results}


@pytest.mark.parametrize(
    "test", [test for test in TESTS if not test.name.startswith(OWN_SERVER)], ids=lambda t: t.name
)
def test_the_server_stands_it(
    test: FaultTest, served: Served, served_repository: Path, tmp_path: Path
) -> None:
    found = attempts(test, Bench(served_repository, tmp_path, served))
    assert found == dict.fromkeys(range(test.short), ""), test.demand


@pytest.mark.slow
@pytest.mark.parametrize(
    "test", [test for test in TESTS if test.name.startswith(OWN_SERVER)], ids=lambda t: t.name
)
def test_a_server_of_its_own_stands_it(
    test: FaultTest, served_repository: Path, tmp_path: Path
) -> None:
    if "Envoy" in test.name:
        pytest.importorskip("envoy")
    if "HAProxy" in test.name and find_haproxy() is None:
        pytest.skip("haproxy is not here: apt-get install haproxy")
    found = attempts(test, Bench(served_repository, tmp_path))
    assert found == dict.fromkeys(range(test.short), ""), test.demand
