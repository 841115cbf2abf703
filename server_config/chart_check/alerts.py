"""Runs the alert rules with a real promtool: are they sound, and do they fire when they should?

promtool comes with Debian's package `prometheus` alone. It is taken from PATH, or from that
package, which is fetched and unpacked without being installed. Where neither works the check
fails and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from server_config.chart_check.rendering import CHART, ROOT

RULES: Final = CHART / "files" / "rules.yaml"
TESTS: Final = Path(__file__).parent / "alerts_test.yaml"
_CACHE: Final = ROOT / ".venv-chart" / "prometheus"
MISSING: Final = """\
PROMTOOL IS NOT HERE, SO NO ALERT RULE WAS RUN.
    Install Debian's package prometheus (apt-get install prometheus), or put promtool on PATH.
    PROMTOOL=none accepts that the rules are not run."""


def alert_problems() -> list[str]:
    """What promtool says, and alerts without a test."""
    found = [f"the alert {name} has no test that fires it" for name in _untested()]
    tool = promtool()
    if tool is None:
        if os.environ.get("PROMTOOL") == "none":
            print(f"\nWARNING: {MISSING}\n", flush=True)
            return found
        return [*found, MISSING]
    with TemporaryDirectory() as folder:
        for file in (RULES, TESTS):
            shutil.copy(file, folder)
        for command in (("check", "rules", RULES.name), ("test", "rules", TESTS.name)):
            found += promtool_problems(tool, command, folder)
    return found


def promtool_problems(tool: str, command: Sequence[str], folder: str) -> list[str]:
    """What it says of files in a folder, if it finds a fault."""
    done = subprocess.run([tool, *command], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return []
    return [f"promtool {' '.join(command)}:\n{done.stdout}{done.stderr}"]


def _untested() -> list[str]:
    rules: Any = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    tests: Any = yaml.safe_load(TESTS.read_text(encoding="utf-8"))
    all_rules = [rule for group in rules["groups"] for rule in group["rules"]]
    alerts = {rule["alert"] for rule in all_rules if "alert" in rule}
    cases = [case for test in tests["tests"] for case in test.get("alert_rule_test", ())]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    return sorted(alerts - (fired & quiet))


def promtool() -> str | None:
    """Its path; fetched where it is not here, None where that does not work."""
    unpacked = _CACHE / "usr" / "bin" / "promtool"
    named = os.environ.get("PROMTOOL", "")
    found = shutil.which(named if named not in ("", "none") else "promtool")
    if found or unpacked.is_file():
        return found or str(unpacked)
    return str(unpacked) if _fetch() and unpacked.is_file() else None


def _fetch() -> bool:
    """Fetch Debian's package and unpack it; needs a network, but no rights and no package list."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    own = _CACHE / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    lists = ("-o", f"Dir::State={own}/state", "-o", f"Dir::Cache={own}/cache")
    if not (_downloaded() or (_ran("apt-get", *lists, "update") and _downloaded(*lists))):
        return False
    (package,) = _CACHE.glob("prometheus_*.deb")
    unpacked = _ran("dpkg-deb", "-x", str(package), str(_CACHE))
    package.unlink()
    shutil.rmtree(own)
    return unpacked


def _downloaded(*options: str) -> bool:
    return _ran("apt-get", *options, "-o", "APT::Sandbox::User=root", "download", "prometheus")


def _ran(*command: str) -> bool:
    try:
        done = subprocess.run(command, cwd=_CACHE, capture_output=True, timeout=180)
    except (subprocess.SubprocessError, OSError):
        return False
    return done.returncode == 0
