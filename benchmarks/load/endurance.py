"""Whether the server's memory grows: many small storyboards, each with a new character."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.load.line_fit import fit_line
from benchmarks.load.resources import Held, held, total
from benchmarks.throughput.ours import draw_over_grpc
from benchmarks.throughput.workload import KEPT, Workload, storyboards
from lafi.server.supervisor import Supervisor

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Endurance:
    """What is drawn: storyboards of one panel, whose reference is read at a fixed level.

    every: storyboards between two samples. warm_up: how many are drawn before growth is fitted.
    bank_megabytes: so few that the bank is full, and evicts, long before the warm-up ends.
    """

    storyboards: int = 1000
    every: int = 25
    warm_up: int = 300
    in_flight: int = 4
    steps: int = 2
    bank_megabytes: int = 32
    side: int = 128

    def __post_init__(self) -> None:
        if self.storyboards - self.warm_up < 2 * self.every:
            most = self.storyboards - 2 * self.every
            raise ValueError(f"warm_up: got {self.warm_up}, allowed at most {most}")


QUICK = Endurance(storyboards=12, every=3, warm_up=3, in_flight=2, bank_megabytes=1)


def measure_endurance(
    server: Supervisor, what: Endurance, tell: Callable[[str], None]
) -> list[Held]:
    """The server's resources before the first storyboard, and after every `every` storyboards.

    Samples are taken while nothing is drawn. Raises RuntimeError if a storyboard was not drawn.
    """
    began = time.perf_counter()
    samples = [held(server, 0, 0.0)]
    for first in range(0, what.storyboards, what.every):
        count = min(what.every, what.storyboards - first)
        load = Workload(count, 1, what.in_flight, what.steps, side=what.side)
        draw_over_grpc(server, storyboards(load, KEPT, first), what.in_flight)
        samples.append(held(server, first + count, time.perf_counter() - began))
        tell(
            f"{samples[-1].storyboards} storyboards, {samples[-1].seconds:.0f} s: "
            f"{total(samples[-1].resident) / MIB:.1f} MiB, "
            f"{total(samples[-1].handles)} handles, {total(samples[-1].threads)} threads, "
            f"{samples[-1].bank_entries} references, {samples[-1].bank_evictions} let go"
        )
    return samples


def growth_after(samples: Sequence[Held], warm_up: int) -> dict[str, Any]:
    """Growth per 1,000 storyboards after the warm-up, as lines with standard errors.

    Resident MiB, handles and threads of each process and, as `total`, of all but the client;
    files and MiB in /dev/shm. Raises ValueError unless two samples or more were taken after the
    warm-up.
    """
    kept = [sample for sample in samples if sample.storyboards >= warm_up]
    counts = [sample.storyboards for sample in kept]

    def per_thousand(values: Sequence[float]) -> dict[str, float]:
        line = fit_line(counts, values)
        return {"per_1000": 1000 * line.slope, "error": 1000 * line.slope_error}

    def by_process(found: Sequence[Mapping[str, int]], unit: int = 1) -> dict[str, Any]:
        names = sorted({name for each in found for name in each})
        return {
            "total": per_thousand([total(each) / unit for each in found]),
            **{name: per_thousand([each.get(name, 0) / unit for each in found]) for name in names},
        }

    return {
        "samples": len(kept),
        "resident_mib": by_process([sample.resident for sample in kept], MIB),
        "handles": by_process([sample.handles for sample in kept]),
        "threads": by_process([sample.threads for sample in kept]),
        "shared_files": per_thousand([sample.shared_files for sample in kept]),
        "shared_mib": per_thousand([sample.shared_bytes / MIB for sample in kept]),
    }
