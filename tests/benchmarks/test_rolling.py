"""What stands before the servers of a rolling upgrade, and what they are upgraded to."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.faults.balancers import chart_route, routes_of
from benchmarks.faults.other_version import other_version
from benchmarks.faults.rows.rolling import Announced, drawn_again
from lafi.drawing.content_address import DRAWING_VERSION
from lafi.store.record import Facts, Record

CHART = Path(__file__).parents[2] / "server_config/helm/golden/many_gpus.yaml"


def test_the_charts_route_lets_storyboards_through() -> None:
    routes = routes_of(chart_route(CHART))
    prefixes = [route["match"]["prefix"] for route in routes]
    assert prefixes == ["/inference.GRPCInferenceService/", "/grpc.health.v1.Health/"]
    assert {route["route"]["timeout"] for route in routes} == {"0s"}


@pytest.mark.parametrize(
    "method",
    [
        {"type": "RegularExpression", "service": "a"},
        {"type": "Exact", "service": "a", "method": "b"},
    ],
)
def test_a_match_that_is_not_understood_is_refused(method: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="allowed: a service by its exact name"):
        routes_of({"spec": {"rules": [{"matches": [{"method": method}]}]}})


def test_a_chart_without_a_route_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chart.yaml").write_text("---\nkind: Service\n---\n")
    with pytest.raises(LookupError, match="got no GRPCRoute"):
        chart_route(tmp_path / "chart.yaml")


@pytest.mark.slow
def test_the_other_version_is_its_own_and_one_newer(tmp_path: Path) -> None:
    python = other_version(tmp_path / "environment")
    code = "import lafi.drawing.content_address as c; print(c.DRAWING_VERSION, c.__file__)"
    run = subprocess.run(
        [str(python), "-P", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    version, file = run.stdout.split()
    assert int(version) == DRAWING_VERSION + 1
    assert Path(file).is_relative_to(tmp_path)


def test_what_was_announced_must_be_kept_and_be_the_same() -> None:
    announced = Announced()
    announced.take("a" * 64, "one", kept=False, again=False)
    announced.take("a" * 64, "one", kept=True, again=True)
    announced.take("b" * 64, "two", kept=False, again=True)
    assert announced.wrong == []
    announced.take("a" * 64, "one", kept=False, again=True)
    announced.take("b" * 64, "three", kept=True, again=True)
    assert announced.wrong == [
        "aaaaaaaaaaaa was announced, and drawn again",
        "bbbbbbbbbbbb has two pictures",
    ]


def stored(store: Path, address: str, seed: int, second: int) -> None:
    """A panel as a server keeps it, written at that second."""
    path = store / address[:2] / address
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Record(Facts(address=address, seed=seed), b"png").packed())
    os.utime(path, (second, second))


def test_an_announced_panel_that_is_drawn_under_another_address_is_seen(tmp_path: Path) -> None:
    announced = Announced()
    for letter in "ace":
        announced.take(letter * 64, "digest", kept=False, again=False)
    stored(tmp_path, "a" * 64, seed=1, second=10)
    stored(tmp_path, "b" * 64, seed=1, second=9)  # was in flight, nobody was told of it
    stored(tmp_path, "c" * 64, seed=2, second=10)
    assert drawn_again(tmp_path, announced) == []
    stored(tmp_path, "d" * 64, seed=2, second=11)
    stored(tmp_path, "e" * 64, seed=3, second=10)
    wanted = "seed 2 was announced, and drawn again under another address"
    assert drawn_again(tmp_path, announced) == [wanted]
