"""A real Prometheus scrapes a real server for a minute, with the chart's rules and dashboard."""

import json
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from benchmarks.faults.drawing import board, client_of, draw
from benchmarks.faults.served import serve, soon
from lafi.server.free_ports import hold_ports

ROOT = Path(__file__).parents[2]
FILES = ROOT / "server_config/helm/lafi/files"
LABELS = {"namespace": "drawing", "service": "lafi-main-pods", "pod": "lafi-main-0"}
SECONDS = 60


def prometheus() -> str | None:
    unpacked = ROOT / ".venv-chart/prometheus/usr/bin/prometheus"
    return shutil.which("prometheus") or (str(unpacked) if unpacked.is_file() else None)


class Prometheus:
    """A running one, asked through its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **asked: str) -> Any:
        page = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(page, timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def value(self, query: str) -> float:
        """Of a query with one series."""
        (series,) = self.get("query", query=query)["result"]
        return float(series["value"][1])


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """Every second, with the chart's rules. target: "host:port" of the health pages."""
    binary = prometheus()
    if binary is None:
        pytest.skip("prometheus is not here: make check-chart fetches it")
    shutil.copy(FILES / "rules.yaml", folder)
    job = {"job_name": "lafi", "static_configs": [{"targets": [target], "labels": LABELS}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    held = hold_ports("127.0.0.1", {"grpc": 0})
    address = f"127.0.0.1:{held.numbers['grpc']}"
    options = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    command = [binary, f"--config.file={folder / 'prometheus.yml'}", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        running = Prometheus(f"http://{address}")
        assert soon(running.is_ready, 60)
        yield running
    finally:
        process.terminate()
        process.wait(30)
        held.release()


def dashboard_queries(document: Any) -> Iterator[str]:
    """All `expr` of a dashboard, asked for the one server."""
    if isinstance(document, dict):
        if isinstance(document.get("expr"), str):
            asked = document["expr"].replace("$namespace", LABELS["namespace"])
            yield asked.replace("$service", LABELS["service"])
        for value in document.values():
            yield from dashboard_queries(value)
    elif isinstance(document, list):
        for value in document:
            yield from dashboard_queries(value)


@pytest.mark.slow
def test_a_prometheus_scrapes_a_server_for_a_minute(
    served_repository: Path, tmp_path: Path
) -> None:
    options = ("--store", str(tmp_path / "store"), "--canary-seconds", "0")
    with (
        serve(served_repository, tmp_path / "tmp", options) as served,
        scraping(served.health.removeprefix("http://"), tmp_path) as running,
    ):
        assert soon(lambda: running.get("query", query="lafi_ready")["result"] != [], 60)
        began = time.monotonic()
        for number in range(3):
            with client_of(served.url) as client:
                assert draw(client, board(13 * 10**6 + number, panels=2)).wrong() == ""
            time.sleep(max(0.0, began + (number + 1) * SECONDS / 3 - time.monotonic()))
        assert running.value(f"min_over_time(up[{SECONDS}s])") == 1
        assert running.value(f"count_over_time(up[{SECONDS}s])") >= SECONDS / 2
        assert running.value('lafi_panels_total{how="drawn"}') == 6
        assert running.value("lafi:panels_drawn:rate5m") > 0
        groups = running.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
        queries = list(dashboard_queries(json.loads((FILES / "dashboard.json").read_text("utf-8"))))
        assert len(queries) > 20
        empty = [query for query in queries if not running.get("query", query=query)["result"]]
        assert empty == []


def alerts(running: Prometheus, name: str) -> list[dict[str, str]]:
    """The labels of each that fires."""
    found = running.get("alerts")["alerts"]
    labels = [each["labels"] for each in found if each["state"] == "firing"]
    return [each for each in labels if each["alertname"] == name]


@pytest.mark.slow
def test_a_killed_stub_fires_the_alert_in_a_real_prometheus(
    served_repository: Path, tmp_path: Path
) -> None:
    options = ("--store", str(tmp_path / "store"), "--canary-seconds", "0")
    restarts = "sum(lafi_restarts_total)"
    with (
        serve(served_repository, tmp_path / "tmp", options) as served,
        scraping(served.health.removeprefix("http://"), tmp_path) as running,
    ):
        assert soon(lambda: running.get("query", query=restarts)["result"] != [], 60)
        # `increase` sees what comes after a first value.
        assert soon(lambda: running.value("min(count_over_time(lafi_restarts_total[1m]))") > 2, 60)
        assert running.value(restarts) == 0
        assert alerts(running, "LafiRestarts") == []
        children = psutil.Process(served.process.pid).children(recursive=True)
        stubs = [each for each in children if "stub" in each.name()]
        assert stubs, "no process of a model"
        stubs[0].send_signal(signal.SIGKILL)
        assert soon(lambda: alerts(running, "LafiRestarts") != [], 180)
        (labels,) = alerts(running, "LafiRestarts")
        assert LABELS["pod"] == labels["pod"]
        assert running.value(f'lafi_restarts_total{{part="{labels["part"]}"}}') == 1
        assert alerts(running, "LafiRestartsOften") == []
