"""What dashboard, alerts and scaler ask for is what a real server exports.

And the pod of `helm test` can do its work.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import yaml

from lafi_export.node_engines import put_together

ROOT = Path(__file__).parents[2]
CHART = ROOT / "server_config/helm/lafi"
ADDRESS = re.compile(r"--url (\S+)")
HEALTH = re.compile(r"(http://[\w.:]+)/readyz")
METRIC = re.compile(r"\blafi_[a-z_]+\b")
USERS = ("files/dashboard.json", "files/rules.yaml", "templates/scaling.yaml")


class Served(NamedTuple):
    """gRPC address, health pages and process of a `lafi serve` with a store."""

    url: str
    health: str
    process: psutil.Process


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[Served]:
    served = tmp_path / "served"
    put_together(repository, served)  # as a pod's init container does
    command = [sys.executable, "-m", "lafi.app.cli", "serve", str(served), "--threads", "1"]
    options = ["--grpc-port", "0", "--health-port", "0", "--store", "state"]
    options += ["--canary-seconds", "0"]  # its panels count too
    server = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        assert server.stdout is not None
        said, url, health = "", "", ""
        for line in server.stdout:
            said += line
            url = url or next(iter(ADDRESS.findall(line)), "")
            health = health or next(iter(HEALTH.findall(line)), "")
            if url and health:
                break
        assert url, said
        assert health, said
        yield Served(url, health, psutil.Process(server.pid))
    finally:
        server.terminate()
        server.communicate(timeout=60)


def scraped(health: str) -> str:
    with urllib.request.urlopen(f"{health}/metrics", timeout=10) as response:
        return str(response.read().decode())


@pytest.mark.slow
def test_every_name_that_is_asked_for_is_scraped_from_a_server(served: Served) -> None:
    command = [sys.executable, str(ROOT / "server_config/image/draw_twice.py"), served.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "round 1: 2 panels, 0 found" in done.stdout
    assert "round 2: 2 panels, 2 found" in done.stdout
    time.sleep(1.5)  # numbers are published every half second
    text = scraped(served.health)
    names = {line.split("{")[0].split()[0] for line in text.splitlines() if line[:1] == "l"}
    asked = {name for file in USERS for name in METRIC.findall((CHART / file).read_text("utf-8"))}
    assert asked - names == set()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] == "l")
    wanted = {"drawn": 2, "kept": 2, "failed": 0}
    found = {how: float(values[f'lafi_panels_total{{how="{how}"}}']) for how in wanted}
    assert found == wanted
    assert float(values['lafi_panel_seconds_bucket{le="+Inf"}']) == 2
    assert float(values["lafi_storyboards_finished_total"]) == 2


def promtool() -> str | None:
    unpacked = ROOT / ".venv-chart/prometheus/usr/bin/promtool"
    return shutil.which("promtool") or (str(unpacked) if unpacked.is_file() else None)


SERIES = re.compile(r"^(lafi_restarts_total\{.*\}|lafi_ready) (\d+)$", re.MULTILINE)


def scraped_until_ready_again(health: str) -> list[dict[str, str]]:
    """Every second: the values of these series, by name and labels."""
    found: list[dict[str, str]] = []
    until = time.monotonic() + 240
    while True:
        found.append(dict(SERIES.findall(scraped(health))))
        counts = {name: value for name, value in found[-1].items() if name != "lafi_ready"}
        if found[-1]["lafi_ready"] == "1" and any(
            found[0][name] != counts[name] for name in counts
        ):
            return found
        assert time.monotonic() < until, found[-1]
        time.sleep(1.0)


@pytest.mark.slow
def test_a_killed_stub_fires_the_alert(served: Served, tmp_path: Path) -> None:
    """The series are scrapes of a real server before, during and after."""
    tool = promtool()
    if tool is None:
        pytest.skip("promtool is not here: make check-chart fetches it")
    scrapes = [dict(SERIES.findall(scraped(served.health)))]
    stubs = [p for p in served.process.children(recursive=True) if "stub" in p.name()]
    assert stubs, "no process of a model"
    stubs[0].send_signal(signal.SIGKILL)
    scrapes += scraped_until_ready_again(served.health)
    ready = [each["lafi_ready"] for each in scrapes]
    assert ready[0] == "1"
    assert "0" in ready
    (changed,) = [
        name
        for name in scrapes[0]
        if len({each[name] for each in scrapes}) > 1 and name != "lafi_ready"
    ]
    one = 'namespace="n", service="s", pod="p"'
    series = [
        {
            "series": f"{name[:-1]}, {one}}}" if "{" in name else f"{name}{{{one}}}",
            "values": " ".join([*(each[name] for each in scrapes), f"{scrapes[-1][name]}x10"]),
        }
        for name in (changed, "lafi_ready")
    ]
    part = changed.partition('"')[2].partition('"')[0]
    alert = {"severity": "warning", "namespace": "n", "service": "s", "pod": "p", "part": part}
    said = {
        "summary": f"{part} of p died or hung and was started again",
        "action": "Clients went on by themselves. Keep the log if it happens again.",
    }
    fired = [{"exp_labels": alert, "exp_annotations": said}]
    counted = [each[changed] for each in scrapes].index(scrapes[-1][changed])
    cases = [
        {"eval_time": "0s", "alertname": "LafiRestarts", "exp_alerts": []},
        {"eval_time": f"{counted + 1}s", "alertname": "LafiRestarts", "exp_alerts": fired},
    ]
    test = {"interval": "1s", "input_series": series, "alert_rule_test": cases}
    shutil.copy(CHART / "files/rules.yaml", tmp_path)
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [tool, "test", "rules", "test.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
