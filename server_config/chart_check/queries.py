"""Runs the scaler's queries with a real promtool: no pod, an idle one, and one that is not scraped.

KEDA takes an answer without a value for an error, and then leaves the number of pods as it is.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from server_config.chart_check.alerts import promtool, promtool_problems
from server_config.chart_check.rendering import NAMESPACE, Rendered

NOTHING: Final = None
_SCRAPED: Final = {"up": 1, "lafi_panels": 0, "lafi_forecast_seconds": 0}
_IDLE: Final = {**_SCRAPED, "lafi_journal_storyboards": 0}
_BUSY: Final = {"up": 1, "lafi_panels": 8, "lafi_forecast_seconds": 9}
_KEPT: Final = {**_SCRAPED, "lafi_journal_storyboards": 3}
_LOST: Final = {"up": 0}

CASES: Final[dict[str, tuple[list[dict[str, int]], dict[str, float | None]]]] = {
    "no pod": ([], {"panels": 0, "forecast": 0, "journal": 0}),
    "an idle pod": ([_IDLE], {"panels": 0, "forecast": 0, "journal": 0}),
    "two pods, one with work": (
        [_IDLE, {**_BUSY, "lafi_journal_storyboards": 2}],
        {"panels": 8, "forecast": 9, "journal": 1},
    ),
    "storyboards in a journal": ([_KEPT, _IDLE], {"panels": 0, "forecast": 0, "journal": 1}),
    "one of two is not scraped": ([_IDLE, _LOST], {"panels": 0, "forecast": 0, "journal": 1}),
    "none is scraped": ([_LOST, _LOST], dict.fromkeys(("panels", "forecast", "journal"), NOTHING)),
}
"""What the pods of one model say, and what each query must give; NOTHING: KEDA's error."""
ALWAYS_SOME: Final = {"no pod": {"panels": NOTHING, "forecast": NOTHING}}
"""Where at least one pod is wanted, none that is seen is an error, too."""


def query_problems(rendered: list[Rendered]) -> list[str]:
    """What a query gives that it should not. Where promtool is not here `alerts` says so."""
    tool = promtool()
    if tool is None:
        return []
    found = []
    for each in rendered:
        for manifest in each.manifests:
            if manifest["kind"] == "ScaledObject":
                found += [f"{each.name}: {said}" for said in _problems(tool, manifest)]
    return found


def _problems(tool: str, scaled: dict[str, Any]) -> list[str]:
    triggers = {each["name"]: each["metadata"] for each in scaled["spec"]["triggers"]}
    taken = [name for name, each in triggers.items() if each.get("ignoreNullValues") != "false"]
    found = [f"{name}: a query that finds nothing would be taken for 0" for name in taken]
    queries = {name: each["query"] for name, each in triggers.items()}
    service = f"{scaled['metadata']['name']}-pods"
    tests = []
    for name, (pods, wanted) in CASES.items():
        expected = wanted if "journal" in queries else {**wanted, **ALWAYS_SOME.get(name, {})}
        shown = {each: expected[each] for each in queries if each in expected}
        tests.append(_test(name, service, pods, queries, shown))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "test.yaml"
        file.write_text(yaml.safe_dump({"tests": tests}), encoding="utf-8")
        return found + promtool_problems(tool, ("test", "rules", file.name), folder)


def _test(
    name: str,
    service: str,
    pods: list[dict[str, int]],
    queries: dict[str, str],
    expected: dict[str, float | None],
) -> dict[str, Any]:
    labels = f'namespace="{NAMESPACE}",service="{service}"'
    series = [
        {"series": f'{metric}{{{labels},pod="{number}"}}', "values": f"{value}x10"}
        for number, pod in enumerate(pods)
        for metric, value in pod.items()
    ]
    # Another model's pods, which are none of this one's.
    series.append({"series": 'up{namespace="other",service="other"}', "values": "0x10"})
    return {
        "name": name,
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f"sum({queries[query]})",
                "eval_time": "5m",
                "exp_samples": [] if value is NOTHING else [{"labels": "{}", "value": value}],
            }
            for query, value in expected.items()
        ],
    }
