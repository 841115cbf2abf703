"""What dashboard, alerts and scaler ask for is what a real server exports.

And the pod of `helm test` can do its work.
"""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHART = ROOT / "server_config/helm/lafi"
ADDRESS = re.compile(r"--url (\S+)")
HEALTH = re.compile(r"(http://[\w.:]+)/readyz")
METRIC = re.compile(r"\blafi_[a-z_]+\b")
USERS = ("files/dashboard.json", "files/rules.yaml", "templates/scaling.yaml")


@pytest.fixture
def served(repository: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """gRPC address and health pages of a `lafi serve` with a store."""
    command = [sys.executable, "-m", "lafi.app.cli", "serve", str(repository), "--threads", "1"]
    options = ["--grpc-port", "0", "--health-port", "0", "--store", str(tmp_path / "store")]
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
        yield url, health
    finally:
        server.terminate()
        server.communicate(timeout=60)


def scraped(health: str) -> str:
    with urllib.request.urlopen(f"{health}/metrics", timeout=10) as response:
        return str(response.read().decode())


@pytest.mark.slow
def test_every_name_that_is_asked_for_is_scraped_from_a_server(served: tuple[str, str]) -> None:
    url, health = served
    command = [sys.executable, str(ROOT / "server_config/image/draw_twice.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "round 1: 2 panels, 0 found" in done.stdout
    assert "round 2: 2 panels, 2 found" in done.stdout
    time.sleep(1.5)  # numbers are published every half second
    text = scraped(health)
    names = {line.split("{")[0].split()[0] for line in text.splitlines() if line[:1] == "l"}
    asked = {name for file in USERS for name in METRIC.findall((CHART / file).read_text("utf-8"))}
    assert asked - names == set()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] == "l")
    wanted = {"drawn": 2, "kept": 2, "failed": 0}
    found = {how: float(values[f'lafi_panels_total{{how="{how}"}}']) for how in wanted}
    assert found == wanted
    assert float(values['lafi_panel_seconds_bucket{le="+Inf"}']) == 2
    assert float(values["lafi_storyboards_finished_total"]) == 2
