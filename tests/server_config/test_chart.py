"""What the chart and the images say of the project is true; `make check-chart` proves the rest."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
import yaml

from lafi.app.cli import app
from lafi.drawing.studio import Studio
from lafi.engine.torch.engines import load_torch_engines
from lafi.front.peers import check_template
from lafi.server.health_pages import Health, _metrics
from lafi.serving.admission import Admission
from lafi.serving.metrics import server_metrics
from lafi.wire.pods import pod_of

ROOT = Path(__file__).parents[2]
CHART = ROOT / "server_config/helm/lafi"
IMAGES = ROOT / "server_config/image"
DOCKERFILES = sorted(IMAGES.glob("Dockerfile*"))
METRIC = re.compile(r"\blafi_[a-z_]+\b")
LABELS = {"lafi_model"}


def version() -> str:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(settings["project"]["version"])


def test_the_chart_passes_only_options_that_serve_has() -> None:
    given = set(re.findall(r"--[a-z-]+", (CHART / "templates/_serve.tpl").read_text("utf-8")))
    command = typer.main.get_group(app).commands["serve"]
    known = {option for parameter in command.params for option in parameter.opts}
    assert len(given) > 10
    assert given - known == set()


def served_pods() -> list[tuple[str, dict[str, str]]]:
    """Of every rendered set: the name of a pod, and the plain variables of its server."""
    found = []
    for file in sorted((CHART.parent / "golden").glob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if manifest and manifest["kind"] == "StatefulSet":
                (container,) = manifest["spec"]["template"]["spec"]["containers"]
                variables = {each["name"]: each.get("value", "") for each in container["env"]}
                found.append((f"{manifest['metadata']['name']}-11", variables))
    return found


def test_serve_understands_the_names_of_the_pods() -> None:
    pods = served_pods()
    assert len(pods) >= 10
    for name, variables in pods:
        assert pod_of(name)
        assert "LAFI_POD" in variables
        check_template(variables["LAFI_PEERS"])


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == version()
    assert len(DOCKERFILES) == 2
    for file in DOCKERFILES:
        text = file.read_text(encoding="utf-8")
        assert f'org.opencontainers.image.version="{version()}"' in text, file.name


def copied(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            yield from line.split()[1:-1]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_every_source_that_an_image_copies_is_there(file: Path) -> None:
    sources = [*copied(file)]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_is_not_root_and_the_supervisor_is_its_first_process(file: Path) -> None:
    last = file.read_text(encoding="utf-8").rsplit("\nFROM ", 1)[1]
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["lafi"]' in last
    assert "HEALTHCHECK" in last
    assert re.search(r"apt-get|build-essential|gcc", last) is None


def test_no_digest_of_the_gpu_base_is_invented() -> None:
    text = (IMAGES / "Dockerfile.gpu").read_text(encoding="utf-8")
    assert re.search(r"^ARG NGC_DIGEST$", text, re.MULTILINE)
    assert not re.search(r"sha256:[0-9a-f]{64}", text)


def exported(checkpoint: Path) -> set[str]:
    studio = Studio({"": load_torch_engines(checkpoint)})
    names = {metric.name for metric in server_metrics(studio, Admission(1))}
    studio.close()
    health = Health(live=True, ready=True, why="", in_flight=0, restarts={"front": 0})
    return names | {line.split()[2] for line in _metrics("", health).splitlines() if "TYPE" in line}


def used() -> dict[str, set[str]]:
    dashboard = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len(panels) > 10
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    queries += [variable.get("query", "") for variable in dashboard["templating"]["list"]]
    rules = yaml.safe_load((CHART / "files/rules.yaml").read_text(encoding="utf-8"))
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    scaling = (CHART / "templates/scaling.yaml").read_text(encoding="utf-8")
    texts = {"dashboard": queries, "rules": expressions, "scaling": [scaling]}
    return {name: {*METRIC.findall(" ".join(each))} - LABELS for name, each in texts.items()}


def test_queries_use_only_numbers_that_the_code_exports(checkpoint: Path) -> None:
    there = exported(checkpoint)
    for name, metrics in used().items():
        assert metrics, name
        assert metrics - there == set(), name


def test_queries_use_only_records_that_the_rules_make() -> None:
    rules = yaml.safe_load((CHART / "files/rules.yaml").read_text(encoding="utf-8"))
    all_rules = [rule for group in rules["groups"] for rule in group["rules"]]
    made = {rule["record"] for rule in all_rules if "record" in rule}
    names = ("dashboard.json", "rules.yaml")
    texts = [(CHART / "files" / name).read_text("utf-8") for name in names]
    records = {*re.findall(r"\blafi:[a-z_0-9]+:[a-z_0-9]+\b", " ".join(texts))}
    assert records
    assert records <= made


class _Asked(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.asked.append(f"POST {self.path}")
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_runs_before_a_pod_stops_asks_it_to_drain() -> None:
    golden = (ROOT / "server_config/helm/golden/cpu_demo.yaml").read_text(encoding="utf-8")
    (served,) = [each for each in yaml.safe_load_all(golden) if each["kind"] == "StatefulSet"]
    (container,) = served["spec"]["template"]["spec"]["containers"]
    python, option, code = container["lifecycle"]["preStop"]["exec"]["command"]
    assert (python, option) == ("python", "-c")
    server = HTTPServer(("127.0.0.1", 0), _Asked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = code.replace("8002", str(server.server_port)).replace("sleep(10)", "sleep(0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    assert _Asked.asked == ["POST /drain"]


def test_every_set_of_values_has_a_golden_file() -> None:
    helm = ROOT / "server_config/helm"
    sets = {file.name for file in (helm / "value_sets").glob("*.yaml")}
    assert len(sets) >= 8
    assert {file.name for file in (helm / "golden").glob("*.yaml")} == sets


def test_every_refusal_of_the_chart_names_the_value_and_what_is_allowed() -> None:
    text = (CHART / "templates/_checks.tpl").read_text(encoding="utf-8")
    failures = re.findall(r'fail \(?(?:printf )?"([^"]+)"', text)
    assert len(failures) > 20
    assert [text for text in failures if not re.match(r"[\w.% ]+: got .*allowed", text)] == []
