"""`make check-chart`: proof of the Helm chart without a cluster.

Runs every check and shows its seconds; exit code 1 if one has found something. It has an
environment of its own, `.venv-chart`, with real Helm, kubectl, checkov and schemas, and knows the
rendered manifests, nothing of storyboards.

`--write` renders the golden files and the dashboard anew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from server_config.chart_check.alerts import alert_problems
from server_config.chart_check.commands import command_problems
from server_config.chart_check.dashboard import FILE, dashboard_json, dashboard_problems
from server_config.chart_check.extremes import extreme_problems
from server_config.chart_check.golden import golden_problems, unused_golden, write_golden
from server_config.chart_check.images import image_problems
from server_config.chart_check.meaning import meaning_problems
from server_config.chart_check.policies import policy_problems
from server_config.chart_check.queries import query_problems
from server_config.chart_check.reading import reading_problems
from server_config.chart_check.refusals import refusal_problems
from server_config.chart_check.rendering import (
    Rendered,
    doubled_names,
    lint_problems,
    render,
    value_sets,
)
from server_config.chart_check.schemas import blind_spots, schema_problems


def main(arguments: list[str]) -> int:
    """Run everything; the exit code."""
    sets = value_sets()
    if arguments == ["--write"]:
        FILE.write_text(dashboard_json(), encoding="utf-8")
        for name, values in sets.items():
            write_golden(render(values, name))
        return 0
    rendered = [render(values, name) for name, values in sets.items()]

    def of_each(check: Callable[[Rendered], list[str]]) -> list[str]:
        return [f"{each.name}: {problem}" for each in rendered for problem in check(each)]

    checks: dict[str, Callable[[], list[str]]] = {
        "helm lint": lambda: [
            f"{name}: {said}" for name, values in sets.items() for said in lint_problems(values)
        ],
        "names": lambda: of_each(doubled_names),
        "wrong values": refusal_problems,
        "extreme values": extreme_problems,
        "meaning": lambda: meaning_problems(rendered),
        "schemas": lambda: of_each(schema_problems),
        "blind spots": lambda: blind_spots(rendered),
        "golden files": lambda: of_each(golden_problems) + unused_golden({*sets}),
        "kubectl": lambda: of_each(reading_problems),
        "commands": command_problems,
        "checkov": lambda: policy_problems(rendered),
        "dashboard": dashboard_problems,
        "queries": lambda: query_problems(rendered),
        "alert rules": alert_problems,
        "Dockerfiles": image_problems,
    }
    failed = 0
    for name, check in checks.items():
        start = time.perf_counter()
        problems = check()
        failed += bool(problems)
        state = f"{len(problems)} problems" if problems else "ok"
        print(f"  {name:<14} {time.perf_counter() - start:5.1f} s  {state}", flush=True)
        for problem in problems:
            print(f"    {problem}", flush=True)
    print(f"{len(rendered)} sets of values, {failed} of {len(checks)} checks failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
