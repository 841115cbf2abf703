"""perf_analyzer on `text_encoder` and `vae_decoder` (unary) and on `storyboard` (streaming)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load.perf_analyzer import PerfAnalyzer
from benchmarks.load.perf_input import Entry, array_entries, storyboard_entries, write_input
from benchmarks.load.perf_report import (
    parse_csv,
    parse_profile,
    requests_per_second,
    stream_figures,
)
from benchmarks.throughput.workload import PUBLISHED, Workload, prompts, storyboards
from lafi.model.artifacts import load_prompt_reader
from lafi.model.info import ModelInfo, load_model_info
from lafi.server.supervisor import Supervisor
from lafi.wire.model_spec import text_encoder_spec, vae_decoder_spec

STREAMED = "storyboard"
STREAMING = ("--streaming", "--async")
SAMPLES = 8


@dataclass(frozen=True, slots=True)
class PerfRuns:
    """What is measured: requests of every run, at each concurrency."""

    unary_requests: int = 200
    storyboard_requests: int = 16
    concurrency: tuple[int, ...] = (1, 4)
    panels: int = 4
    steps: int = 8
    side: int = 128
    timeout: float = 300.0


QUICK = PerfRuns(unary_requests=8, storyboard_requests=4, panels=2, steps=2)


def measure_with_perf_analyzer(
    server: Supervisor,
    analyzer: PerfAnalyzer,
    what: PerfRuns,
    folder: Path,
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A row for each model and concurrency; its files stay in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = _inputs(server.repository / "artifacts", what)
    rows = []
    for model, entries in inputs.items():
        data = folder / f"{model}.json"
        write_input(data, entries)
        # A warm-up, so that batches of every size have run before anything is timed.
        _run(server, analyzer, what, data, max(what.concurrency), 2 * max(what.concurrency))
        requests = what.storyboard_requests if model == STREAMED else what.unary_requests
        for concurrency in what.concurrency:
            rows.append(_run(server, analyzer, what, data, concurrency, requests))
            shown = {key: rows[-1][key] for key in ("requests_per_second", "p50", "p99")}
            tell(f"perf_analyzer, {model} x {concurrency}: {shown}")
    return rows


def _inputs(artifacts: Path, what: PerfRuns) -> dict[str, Sequence[dict[str, Entry]]]:
    """Input files by model. Makes random latents, as perf_analyzer's own hold NaN (refused)."""
    info = load_model_info(artifacts)
    load = Workload(SAMPLES, what.panels, 1, what.steps, side=what.side)
    boards = storyboards(load, PUBLISHED)
    rng = np.random.default_rng(0)
    cells = what.side // info.vae_scale
    latents = rng.standard_normal((SAMPLES, info.latent_channels, cells, cells), dtype=np.float32)
    texts = [prompts(board)[0] for board in boards]
    return {
        "text_encoder": array_entries(
            text_encoder_spec(info).inputs[0].name, _tokens(artifacts, info, texts)
        ),
        "vae_decoder": array_entries(vae_decoder_spec(info).inputs[0].name, list(latents)),
        STREAMED: storyboard_entries(boards),
    }


def _tokens(
    artifacts: Path, info: ModelInfo, texts: Sequence[str]
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """(T,) int64 for each text."""
    return [*load_prompt_reader(artifacts, info).token_ids(texts)]


def _run(
    server: Supervisor,
    analyzer: PerfAnalyzer,
    what: PerfRuns,
    data: Path,
    concurrency: int,
    requests: int,
) -> dict[str, Any]:
    model = data.stem
    streams = model == STREAMED
    report = data.with_name(f"{model}_{concurrency}.csv")
    profile = data.with_name(f"{model}_{concurrency}_profile.json")
    options = {
        "-m": model,
        "-u": server.grpc_url,
        "-i": "grpc",
        "--input-data": data,
        "--concurrency-range": concurrency,
        "--request-count": requests,
        "-f": report,
        "--profile-export-file": profile,
    }
    flat = [str(part) for option in options.items() for part in option]
    # perf_analyzer refuses to overwrite an earlier profile.
    profile.unlink(missing_ok=True)
    analyzer.run([*flat, *(STREAMING if streams else ())], what.timeout)
    found = parse_profile(profile.read_bytes())
    return {
        "model": model,
        "concurrency": concurrency,
        "requests": len(found),
        **({"panels": what.panels, "steps": what.steps} if streams else {}),
        "requests_per_second": requests_per_second(found),
        **parse_csv(report.read_text(encoding="utf-8")),
        **(stream_figures(found) if streams else {}),
    }
