"""LAFI as its users see it: a running server, storyboards over gRPC, panels as PNG files."""

import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from lafi.board.storyboard import Storyboard
from lafi.server.supervisor import Supervisor
from lafi.wire.events import PanelImage
from lafi_client import StoryboardClient


@dataclass(frozen=True, slots=True)
class Drawn:
    """Seconds for all storyboards, and each one's until its first and its last panel arrived."""

    seconds: float
    first_panel: tuple[float, ...]
    last_panel: tuple[float, ...]


def draw_over_grpc(server: Supervisor, boards: Sequence[Storyboard], in_flight: int) -> Drawn:
    """Draws the storyboards, `in_flight` at a time; a storyboard's clock starts with the first."""
    with StoryboardClient(server.grpc_url) as client, ThreadPoolExecutor(in_flight) as threads:
        began = time.perf_counter()
        times = list(threads.map(partial(_draw_one, client, began), boards))
        seconds = time.perf_counter() - began
    return Drawn(seconds, tuple(t[0] for t in times), tuple(t[-1] for t in times))


def panels_over_grpc(server: Supervisor, boards: Sequence[Storyboard]) -> list[bytes]:
    """A PNG file for each panel, in order, of one storyboard after the other."""
    with StoryboardClient(server.grpc_url) as client:
        drawn = [
            sorted((e for e in client.events(board) if isinstance(e, PanelImage)), key=_number)
            for board in boards
        ]
    return [event.png for events in drawn for event in events]


def _number(event: PanelImage) -> int:
    return event.panel


def _draw_one(client: StoryboardClient, began: float, board: Storyboard) -> list[float]:
    arrived = [
        time.perf_counter() - began
        for event in client.events(board)
        if isinstance(event, PanelImage)
    ]
    if len(arrived) != len(board.panels):
        raise RuntimeError(f"panels: got {len(arrived)}, allowed {len(board.panels)}")
    return arrived


def counters(server: Supervisor) -> dict[str, float]:
    """LAFI's numbers at /metrics, after a short wait for their next update."""
    time.sleep(1.2)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.metrics_url, timeout=10) as response:
        text = response.read().decode()
    found = (line.rpartition(" ") for line in text.splitlines() if line.startswith("lafi_"))
    return {name: float(value) for name, _, value in found}


def spent(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What the counters have counted between two readings."""
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


def rows_per_call(counted: dict[str, float]) -> float:
    """Rows of an average denoiser call, from `spent`; 0 without calls."""
    rows = sum(value for key, value in counted.items() if key.startswith("lafi_denoiser_rows"))
    return rows / max(1.0, counted["lafi_denoiser_calls_total"])
