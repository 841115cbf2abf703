"""Reads perf_analyzer's latency report (CSV) and profile export (JSON)."""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.load.percentile import percentile

LATENCIES = {"p50 latency": "p50", "p90 latency": "p90", "p95 latency": "p95", "p99 latency": "p99"}
COMPONENTS = (
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute CallModel",
    "Server Compute Output",
    "Client Recv",
)


def parse_csv(text: str) -> dict[str, Any]:
    """The report of one concurrency: latencies, and the parts of their mean, in seconds.

    The report has microseconds. For a stream, a latency ends with the last response, and the
    server's parts are those of accepting the request. Raises ValueError unless it has one row.
    """
    rows = list(csv.DictReader(text.splitlines()))
    if len(rows) != 1:
        raise ValueError(f"perf_analyzer's CSV: got {len(rows)} rows, allowed 1")
    row = rows[0]
    return {
        **{short: float(row[name]) * 1e-6 for name, short in LATENCIES.items()},
        "mean_parts": {name: float(row[name]) * 1e-6 for name in COMPONENTS if name in row},
        "its_requests_per_second": float(row["Inferences/Second"]),
    }


def parse_profile(raw: bytes) -> list[Mapping[str, Any]]:
    """The requests of a profile export of one concurrency.

    It contains BYTES tensors as they are, which may be invalid UTF-8; such bytes are replaced, and
    control characters are allowed. Raises ValueError unless it has one run.
    """
    document = json.loads(raw.decode("utf-8", errors="replace"), strict=False)
    runs = document["experiments"]
    if len(runs) != 1:
        raise ValueError(f"perf_analyzer's profile: got {len(runs)} runs, allowed 1")
    requests: list[Mapping[str, Any]] = runs[0]["requests"]
    return requests


def requests_per_second(requests: Sequence[Mapping[str, Any]]) -> float:
    """From the first request to the last response, by its own clock (nanoseconds).

    Its own figure divides by whole seconds, which is wrong for runs of a few seconds.
    """
    began = min(request["timestamp"] for request in requests)
    ended = max(max(request["response_timestamps"]) for request in requests)
    seconds: float = (ended - began) * 1e-9
    return len(requests) / seconds


def panel_seconds(request: Mapping[str, Any]) -> list[float]:
    """Seconds from a storyboard's request until each of its panels, in order of arrival.

    Raises ValueError for a storyboard that was not finished.
    """
    kinds = [_kind(output) for output in request["response_outputs"]]
    if "finished" not in kinds:
        raise ValueError(f"a storyboard: got the events {kinds}, allowed with finished")
    return [
        (stamp - request["timestamp"]) * 1e-9
        for stamp, kind in zip(request["response_timestamps"], kinds, strict=True)
        if kind == "panel"
    ]


def stream_figures(requests: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Percentiles of storyboards, seconds, from the events in the profile export."""
    panels = [panel_seconds(request) for request in requests]
    ended = [
        (request["response_timestamps"][-1] - request["timestamp"]) * 1e-9 for request in requests
    ]
    samples = {
        "first_panel": [min(arrived) for arrived in panels],
        "panel": [seconds for arrived in panels for seconds in arrived],
        "storyboard": ended,
    }
    return {
        f"{name}_p{share}": percentile(found, share)
        for name, found in samples.items()
        for share in (50, 99)
    }


def _kind(output: Mapping[str, Any]) -> str:
    """The JSON of an event; empty for the server's last response, which has none."""
    text = output.get("EVENT", "")
    return str(json.loads(text)["kind"]) if text else ""
