"""The metrics of a running server, as named numbers.

Knows counts, not how they are published: the adapter passes them on to Triton Server's /metrics.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lafi.drawing.outcomes import BUCKETS, Outcomes
from lafi.drawing.studio import Studio
from lafi.serving.admission import Admission
from lafi.store.panels import PanelStore, StoreStats


@dataclass(frozen=True, slots=True)
class Metric:
    """One number at this moment; a counter never falls. Names follow Prometheus' rules."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def server_metrics(
    studio: Studio,
    admission: Admission,
    panels: PanelStore | None = None,
    journalled: Callable[[], int] = lambda: 0,
) -> Iterator[Metric]:
    """All metrics of one server: always the same names in the same order.

    panels: where it keeps finished panels, if it does. journalled: storyboards in its journal.
    """
    yield Metric(
        "lafi_storyboards_in_flight",
        "gauge",
        "Storyboards that were admitted and are not done",
        admission.in_flight,
    )
    yield Metric(
        "lafi_storyboards_refused_total",
        "counter",
        "Storyboards refused since the limit was reached",
        admission.refused,
    )
    help_ = "Cost of the storyboards in flight: pixels x steps of all pictures, in millions"
    name = "lafi_megapixel_steps_in_flight"
    yield Metric(name, "gauge", help_, admission.megapixel_steps)
    help_ = "Seconds of work in flight, as foretold"
    yield Metric("lafi_forecast_seconds", "gauge", help_, admission.forecast_seconds)
    help_ = "Storyboards in the journal: not finished, or not acknowledged"
    yield Metric("lafi_journal_storyboards", "gauge", help_, journalled())
    yield from _panel_metrics(studio)
    yield from _outcome_metrics(studio.outcomes)
    yield from _denoiser_metrics(studio)
    yield from _bank_metrics(studio)
    yield from _store_metrics(panels.stats() if panels is not None else StoreStats())


def _panel_metrics(studio: Studio) -> Iterator[Metric]:
    active = sum(batcher.active for batcher in studio.batchers.values())
    waiting = sum(batcher.waiting for batcher in studio.batchers.values())
    help_ = "Panels that are being denoised, and that wait for a place"
    yield Metric("lafi_panels", "gauge", help_, active - waiting, {"state": "denoising"})
    yield Metric("lafi_panels", "gauge", help_, waiting, {"state": "waiting"})


def _outcome_metrics(outcomes: Outcomes) -> Iterator[Metric]:
    for what in ("drawn", "kept", "failed"):
        help_ = "Panels that were drawn, found in the store, or failed"
        yield Metric("lafi_panels_total", "counter", help_, outcomes.count(what), {"how": what})
    help_ = "Storyboards that were drawn to their end"
    yield Metric("lafi_storyboards_finished_total", "counter", help_, outcomes.count("finished"))
    help_ = "Storyboards that were finished after their deadline"
    yield Metric("lafi_deadlines_missed_total", "counter", help_, outcomes.count("late"))
    help_ = "Seconds of drawn panels, from the first step until they were handed over"
    buckets = outcomes.buckets()
    for end, number in zip((*map("{:g}".format, BUCKETS), "+Inf"), buckets, strict=True):
        yield Metric("lafi_panel_seconds_bucket", "counter", help_, number, {"le": end})
    yield Metric("lafi_panel_seconds_sum", "counter", help_, outcomes.seconds)
    yield Metric("lafi_panel_seconds_count", "counter", help_, buckets[-1])

    help_ = "Panels that were sent with scores of their characters"
    yield Metric("lafi_panels_scored_total", "counter", help_, outcomes.count("scored"))
    help_ = "Drawings of panels beyond the first, since a score was low"
    yield Metric("lafi_panel_retries_total", "counter", help_, outcomes.count("retries"))


def _denoiser_metrics(studio: Studio) -> Iterator[Metric]:
    counts = [batcher.counts for batcher in studio.batchers.values()]
    rows = {
        "panel": sum(count.panel_rows for count in counts),
        "reference": sum(count.reference_rows for count in counts),
        "padding": sum(count.padding_rows for count in counts),
    }
    for kind, number in rows.items():
        help_ = "Rows of the denoiser's calls"
        yield Metric("lafi_denoiser_rows_total", "counter", help_, number, {"kind": kind})
    calls = sum(count.calls for count in counts)
    yield Metric("lafi_denoiser_calls_total", "counter", "Calls of the denoiser", calls)
    steps = sum(count.panel_steps for count in counts)
    yield Metric("lafi_panel_steps_total", "counter", "Steps of all panels", steps)
    reused = sum(count.reused_steps for count in counts)
    help_ = "Steps of all panels that were taken without the denoiser"
    yield Metric("lafi_reused_steps_total", "counter", help_, reused)
    engine = sum(count.engine_seconds for count in counts)
    yield Metric("lafi_denoiser_seconds_total", "counter", "Seconds within the denoiser", engine)
    whole = sum(count.step_seconds for count in counts)
    yield Metric("lafi_step_seconds_total", "counter", "Seconds of whole steps", whole)


def _bank_metrics(studio: Studio) -> Iterator[Metric]:
    stats = studio.bank.stats()
    reads = sum(batcher.counts.bank_reads for batcher in studio.batchers.values())
    yield Metric("lafi_bank_entries", "gauge", "References that the bank keeps", stats.entries)
    yield Metric("lafi_bank_bytes", "gauge", "Bytes that the bank keeps", stats.bytes)
    yield Metric("lafi_bank_hits_total", "counter", "References found in the bank", stats.hits)
    yield Metric("lafi_bank_misses_total", "counter", "References not found there", stats.misses)
    help_ = "References dropped to make room"
    yield Metric("lafi_bank_evictions_total", "counter", help_, stats.evictions)
    help_ = "References read in a step without a row of their own"
    yield Metric("lafi_bank_reads_total", "counter", help_, reads)


def _store_metrics(stats: StoreStats) -> Iterator[Metric]:
    yield Metric("lafi_store_panels", "gauge", "Finished panels that are kept", stats.panels)
    yield Metric("lafi_store_bytes", "gauge", "Bytes of finished panels", stats.bytes)
    help_ = "The most bytes of finished panels that are kept"
    yield Metric("lafi_store_max_bytes", "gauge", help_, stats.max_bytes)
    help_ = "Bytes of finished panels that must stay, since nobody has acknowledged them"
    yield Metric("lafi_store_pinned_bytes", "gauge", help_, stats.pinned_bytes)
    yield Metric("lafi_store_hits_total", "counter", "Panels found in the store", stats.hits)
    yield Metric("lafi_store_misses_total", "counter", "Panels not found there", stats.misses)
    help_ = "Panels in the store that were damaged"
    yield Metric("lafi_store_damaged_total", "counter", help_, stats.damaged)
    help_ = "Times that the store could not be read or written"
    yield Metric("lafi_store_errors_total", "counter", help_, stats.errors)
    help_ = "Panels dropped to make room"
    yield Metric("lafi_store_evictions_total", "counter", help_, stats.evictions)
