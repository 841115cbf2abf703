"""One storyboard request, timed at the client; and the figures of many of them."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.load.percentile import percentile
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Event, Failed, PanelImage
from lafi_client import StoryboardClient
from lafi_client.errors import ServerUnavailable

Outcome = Literal["drawn", "refused", "failed"]
PERCENTILES = (50, 99)


@dataclass(frozen=True, slots=True)
class Query:
    """The outcome of one storyboard.

    began: time of the request, by `time.perf_counter`. panels: seconds from then to each of its
    panels, in order of arrival. seconds: until its end. error: empty if it was drawn.
    """

    began: float
    panels: tuple[float, ...]
    seconds: float
    outcome: Outcome
    error: str = ""

    @property
    def ended(self) -> float:
        """Time of its end, on the clock of `began`."""
        return self.began + self.seconds


def ask(
    client: StoryboardClient,
    board: Storyboard,
    heard: Callable[[Event], None] = lambda event: None,
    began: float | None = None,
) -> Query:
    """Draws a storyboard; an error becomes part of the query's outcome, never an exception.

    heard: called with every event. began: time of the request, if that was earlier. A client that
    retries hides refusals: pass one with `retries=0` to count them.
    """
    began = time.perf_counter() if began is None else began
    arrived: list[float] = []
    outcome: Outcome = "drawn"
    error = ""
    try:
        with closing(client.events(board)) as events:
            for event in events:
                heard(event)
                if isinstance(event, PanelImage):
                    arrived.append(time.perf_counter() - began)
                elif isinstance(event, Failed):
                    outcome, error = "failed", event.error
    except ServerUnavailable as refused:
        outcome, error = "refused", str(refused)
    except Exception as failed:
        outcome, error = "failed", f"{type(failed).__name__}: {failed}"
    if outcome == "drawn" and len(arrived) != len(board.panels):
        outcome, error = "failed", f"panels: got {len(arrived)}, allowed {len(board.panels)}"
    return Query(began, tuple(arrived), time.perf_counter() - began, outcome, error)


def must_be_drawn(query: Query) -> Query:
    """The query; RuntimeError if it was not drawn."""
    if query.outcome != "drawn":
        raise RuntimeError(f"a storyboard was {query.outcome}: {query.error}")
    return query


def figures(queries: Sequence[Query]) -> dict[str, Any]:
    """Counts, throughput and percentiles; seconds, of storyboards that were drawn.

    Latencies of panels and storyboards count from the request. Throughput counts from the first
    request to the last answer. If none was drawn, latencies are None.
    """
    drawn = [query for query in queries if query.outcome == "drawn"]
    wall = max(query.ended for query in queries) - min(query.began for query in queries)
    latencies = {
        "panel": [seconds for query in drawn for seconds in query.panels],
        "storyboard": [query.seconds for query in drawn],
        "first_panel": [min(query.panels) for query in drawn],
    }
    return {
        "queries": len(queries),
        **{name: _count(queries, name) for name in ("drawn", "refused", "failed")},
        "errors": sorted({query.error for query in queries if query.outcome == "failed"}),
        "seconds": wall,
        "storyboards_per_second": len(drawn) / wall,
        "panels_per_second": len(latencies["panel"]) / wall,
        **{
            f"{name}_p{share}": percentile(found, share) if found else None
            for name, found in latencies.items()
            for share in PERCENTILES
        },
    }


def _count(queries: Sequence[Query], outcome: str) -> int:
    return sum(query.outcome == outcome for query in queries)
