"""Runs checkov over everything that is rendered; a failed check needs a reason, written here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from server_config.chart_check.rendering import Rendered

EXPLAINED: Final[dict[tuple[str, str], str]] = {
    ("CKV_K8S_43", "StatefulSet"): "image.digest is the installer's; none can be known here",
    ("CKV_K8S_43", "Pod"): "image.digest is the installer's; none can be known here",
    ("CKV_K8S_8", "Pod"): "the pod of `helm test` runs once, with activeDeadlineSeconds",
    ("CKV_K8S_9", "Pod"): "the pod of `helm test` serves nobody",
}
"""By check and kind of object."""
_LEAST: Final = 300
"""Fewer checks than this mean that checkov has not read the files."""


def policy_problems(rendered: list[Rendered]) -> list[str]:
    """Failed checks without a reason, and reasons that nothing needs."""
    with TemporaryDirectory() as folder:
        for each in rendered:
            (Path(folder) / f"{each.name}.yaml").write_text(each.text, encoding="utf-8")
        report = _checkov(folder)
    results, passed = report["results"], report["summary"]["passed"]
    found = [f"checkov cannot read {file}" for file in results.get("parsing_errors", ())]
    if passed < _LEAST:
        found.append(f"checkov passed {passed} checks only, expected: {_LEAST} or more")
    used = set()
    for check in results["failed_checks"]:
        key = (check["check_id"], check["resource"].partition(".")[0])
        used.add(key)
        if key not in EXPLAINED:
            place = f"{check['file_path'].strip('/')}, {check['resource']}"
            found.append(f"{check['check_id']} {check['check_name']}: {place}")
    unused = {*EXPLAINED} - used
    return found + [f"{check} of {kind} is explained and does not fail" for check, kind in unused]


def _checkov(folder: str) -> dict[str, Any]:
    options = ["--framework", "kubernetes", "--skip-download", "-o", "json"]
    command = [sys.executable, "-m", "checkov.main", "-d", folder, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise RuntimeError(f"checkov: {done.stderr[-2000:]}") from error
    return report
