"""What `make_sbom.sh` writes of this environment is CycloneDX, and has what is installed."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "server_config/image/make_sbom.sh"
CHECK = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1], encoding="utf-8").read()
version = SchemaVersion.from_version(json.loads(text)["specVersion"])
print(JsonStrictValidator(version).validate_str(text) or "it fits")
"""
"""By CycloneDX's own library, in the environment that the script makes."""


def checked(file: Path) -> str:
    command = [str(ROOT / ".venv-sbom/bin/python"), "-c", CHECK, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.slow
@pytest.mark.skipif(
    not (ROOT / ".venv-sbom/bin/cyclonedx-py").exists(),
    reason="needs .venv-sbom, which `make test-slow` installs from a package index",
)
@pytest.mark.timeout(900)
def test_the_list_of_this_environment_is_whole_and_fits_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    command = ["bash", str(SCRIPT), sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert checked(file) == "it fits"
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["metadata"]["component"]["name"] == "lafi"
    assert document["metadata"]["component"]["type"] == "application"
    listed = {(plain(each["name"]), each["version"]) for each in document["components"]}
    there = {(plain(each.name), each.version) for each in importlib.metadata.distributions()}
    missing = {name for name, _ in there - listed} - {"lafi"}
    assert missing == set()
    document["components"][0]["type"] = "nothing"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert "'nothing' is not one of" in checked(file)


def test_wrong_arguments_are_refused() -> None:
    done = subprocess.run(["bash", str(SCRIPT), "one"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "make_sbom.sh: got 1 arguments, allowed: PYTHON FILE, or --install\n"
