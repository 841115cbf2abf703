"""MLPerf LoadGen requests storyboards, and our client has the server draw them.

LoadGen (github.com/mlcommons/inference, `loadgen`) decides what is requested and when: all at once
in its scenario Offline, at random moments of a Poisson process in Server. We do not follow its
rules for official results (minutes, hundreds of thousands of queries); we report its verdict.
"""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlperf_loadgen

from benchmarks.load.query import Query, ask
from lafi.board.storyboard import Storyboard
from lafi_client import StoryboardClient

Scenario = Literal["Offline", "Server"]

SEED = 21
"""Seed of LoadGen's samples and schedule: every rate has the same arrivals, only closer together.
With this seed 70 and 22 arrivals match the requested rate within 0.7%; others miss it by 20%."""
MARK = ":::MLLOG "
KEPT_KEYS = (
    "result_validity",
    "result_invalid_reason",
    "result_query_count",
    "result_overlatency_query_count",
    "result_samples_per_second",
    "result_scheduled_samples_per_sec",
    "result_completed_samples_per_sec",
    "result_50.00_percentile_latency_ns",
    "result_99.00_percentile_latency_ns",
    "num_errors",
)


@dataclass(frozen=True, slots=True)
class LoadgenRun:
    """One run of LoadGen.

    rate: average arrivals of storyboards per second, in Server. at_once: the most in flight from
    the client; in Server it must be large enough that none waits in the client. latency_limit:
    seconds within which 99% should end, for LoadGen's verdict.
    """

    scenario: Scenario
    queries: int
    at_once: int
    rate: float = 1.0
    latency_limit: float = 10.0

    def settings(self) -> Any:
        """The settings in LoadGen's form."""
        wanted = mlperf_loadgen.TestSettings()
        wanted.scenario = getattr(mlperf_loadgen.TestScenario, self.scenario)
        wanted.mode = mlperf_loadgen.TestMode.PerformanceOnly
        wanted.min_duration_ms = 0
        wanted.min_query_count = self.queries
        wanted.max_query_count = self.queries if self.scenario == "Server" else 0
        # Offline requests the samples of one second, or the minimum if that is more.
        wanted.offline_expected_qps = 1
        wanted.server_target_qps = self.rate
        wanted.server_target_latency_ns = round(self.latency_limit * 1e9)
        wanted.server_target_latency_percentile = 0.99
        wanted.qsl_rng_seed = wanted.sample_index_rng_seed = wanted.schedule_rng_seed = SEED
        return wanted


def run_loadgen(
    client: StoryboardClient, boards: Sequence[Storyboard], run: LoadgenRun, folder: Path
) -> tuple[list[Query], dict[str, Any]]:
    """The outcome of every query, and LoadGen's own figures; its logs stay in `folder`.

    boards: LoadGen's samples; each query is one of them. LoadGen has no failed queries, so refused
    and failed ones are reported as completed, and its own figures include them.
    """
    sut = _Drawer(client, boards, run)
    folder.mkdir(parents=True, exist_ok=True)
    system = mlperf_loadgen.ConstructSUT(sut.issue, lambda: None)
    # The storyboards are in memory already, so there is nothing to load.
    library = mlperf_loadgen.ConstructQSL(len(boards), len(boards), _nothing, _nothing)
    try:
        with sut.threads:
            mlperf_loadgen.StartTestWithLogSettings(
                system, library, run.settings(), _log_settings(folder), "none.config"
            )
    finally:
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(system)
    log = (folder / "detail.txt").read_text(encoding="utf-8", errors="replace")
    return sut.queries, parse_detail(log)


def parse_detail(text: str) -> dict[str, Any]:
    """LoadGen's detail log -> KEPT_KEYS of it, latencies as seconds.

    A line is `:::MLLOG {"key": ..., "value": ...}`. Raises ValueError for a log without a verdict.
    """
    entries = [
        json.loads(line.removeprefix(MARK)) for line in text.splitlines() if line.startswith(MARK)
    ]
    found = {entry["key"]: entry["value"] for entry in entries}
    if "result_validity" not in found:
        raise ValueError("LoadGen's log: got no result_validity, allowed one that has ended")
    kept = {key: found[key] for key in KEPT_KEYS if key in found}
    return {
        key.removesuffix("_ns"): value * 1e-9 if key.endswith("_ns") else value
        for key, value in kept.items()
    }


class _Drawer:
    """The system under test: hands each query to a thread at once, as LoadGen requires."""

    def __init__(
        self, client: StoryboardClient, boards: Sequence[Storyboard], run: LoadgenRun
    ) -> None:
        self.queries: list[Query] = []
        self.threads = ThreadPoolExecutor(run.at_once, thread_name_prefix="query")
        # In Offline, a query that waits for its turn in the client has not reached the server yet.
        self._waits = run.scenario == "Offline"
        self._client = client
        self._boards = boards
        self._lock = threading.Lock()

    def issue(self, samples: Sequence[Any]) -> None:
        """LoadGen calls this in its own thread; an exception here would end the process."""
        issued = time.perf_counter()
        for sample in samples:
            self.threads.submit(self._draw, sample.id, sample.index, issued)

    def _draw(self, identity: int, index: int, issued: float) -> None:
        began = None if self._waits else issued
        query = ask(self._client, self._boards[index], began=began)
        with self._lock:
            self.queries.append(query)
        # Also for refused and failed ones: LoadGen waits for every query that it issued.
        response = mlperf_loadgen.QuerySampleResponse(identity, 0, 0)
        mlperf_loadgen.QuerySamplesComplete([response])


def _log_settings(folder: Path) -> Any:
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir, output.prefix = str(folder), ""
    output.copy_summary_to_stdout = False
    settings = mlperf_loadgen.LogSettings()
    settings.log_output = output
    settings.enable_trace = False
    return settings


def _nothing(indices: Sequence[int]) -> None:
    pass
