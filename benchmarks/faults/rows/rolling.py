"""Servers on one store, replaced one after the other behind a balancer while it is drawn."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults import served as serving
from benchmarks.faults.attempt import Attempt, Bench
from benchmarks.faults.balancers import Balancer, Envoy, HaProxy, is_ready
from benchmarks.faults.cluster import Cluster
from benchmarks.faults.drawing import Drawn, board, client_of
from benchmarks.faults.older_client import SentPanel, older_client
from benchmarks.faults.other_version import other_version
from benchmarks.faults.served import Served
from lafi.board.storyboard import Storyboard
from lafi.store.record import unpacked
from lafi_client import LafiError

PANELS = 4
STEPS = 16
STREAMS = 4
RETRIES = 180
"""Within which a server starts; more would hide for long that none comes back."""
Send = Callable[[str, Storyboard], tuple[list[SentPanel], str]]
"""Sends a storyboard to an address: the panels that came, and the error, "" if none."""
ANNOUNCE_SECONDS = 2.0
"""Between /drain and SIGTERM, as the chart's `drain.announceSeconds`."""
_ADDRESS = re.compile("[0-9a-f]{64}")


@dataclass
class Announced:
    """What clients were told: the digest of each address, and what contradicts the rest."""

    panels: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, address: str, digest: str, *, kept: bool, again: bool) -> None:
        """again: the storyboard is sent a second time, so what was announced must be kept."""
        with self._lock:
            before = self.panels.get(address)
            self.panels[address] = digest
            if before not in (None, digest):
                self.wrong.append(f"{address[:12]} has two pictures")
            if again and before is not None and not kept:
                self.wrong.append(f"{address[:12]} was announced, and drawn again")


class Replacing:
    """Drains each server as the chart does it while it draws, ends it, and starts it anew."""

    def __init__(self, cluster: Cluster, python: Sequence[str]) -> None:
        """python: what runs those that are started anew."""
        self._cluster = cluster
        self._python = python
        self.done = 0
        self.seconds: list[float] = []

    def run(self, began: threading.Event) -> None:
        """One after the other, from when `began` is set."""
        began.wait(60)
        for ordinal, pod in self._cluster.pods.items():
            running = self._cluster.running[ordinal]
            drawing = serving.soon(lambda: _in_flight(running) > 0, 60)  # noqa: B023
            started = time.monotonic()
            drain = urllib.request.Request(f"http://{pod.host}:{pod.health}/drain", method="POST")
            urllib.request.urlopen(drain, timeout=10).close()
            time.sleep(ANNOUNCE_SECONDS)
            code = serving.end(running)
            if code or not drawing:
                raise RuntimeError(f"drained while it drew: {drawing}; exit status {code}")
            self._cluster.start(ordinal, self._python)
            self.seconds.append(time.monotonic() - started)
            serving.soon(lambda: is_ready(pod), 30)  # noqa: B023
            self.done += 1


class RollingUpgrade:
    """A try is a storyboard; both servers are replaced while they are sent."""

    full, short = 200, 20

    def __init__(self, balancer: Balancer, *, versions: int = 1, older: bool = False) -> None:
        """versions: 2: what is started anew counts as a newer `DRAWING_VERSION`.

        older: the storyboards are sent by an earlier client.
        """
        self._balancer = balancer
        self._versions = versions
        self._older = older
        named = [f"rolling upgrade, {balancer.name}", *["two versions"] * (versions > 1)]
        self.name = ", ".join([*named, *["older client"] * older])
        self.demand = (
            f"two servers behind {balancer.name}, each drained and replaced"
            f"{' by a newer version' if versions > 1 else ''} while"
            f"{' an earlier client sends' if older else ''} storyboards"
            f"{'' if older else ' are sent'}: none lost, no announced panel drawn twice"
        )

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """The first half while one server is replaced, the others while the other one is."""
        with ExitStack() as ending:
            cluster = Cluster(bench.repository, bench.folder("rolling"))
            ending.callback(cluster.stop)
            for ordinal in cluster.pods:
                cluster.start(ordinal)
            pods = [*cluster.pods.values()]
            url = ending.enter_context(self._balancer.run(pods, bench.folder("b") / "run"))
            announced, began = Announced(), threading.Event()
            send = _sender(bench, older=self._older)
            pool = ending.enter_context(ThreadPoolExecutor(STREAMS + 1))
            replacing = Replacing(cluster, self._later_python(bench))
            rolling = pool.submit(replacing.run, began)
            firsts = []
            for half in (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]):
                sent = [pool.submit(_timed, send, url, number, announced, began) for number in half]
                firsts += [each.result() for each in sent]
                _wait(replacing, rolling)
            rolling.result()
            announced.wrong += drawn_again(cluster.store, announced)
            figures = {"replaced_in_s": max(replacing.seconds)}
            for number, (first, seconds) in zip(numbers, firsts, strict=True):
                again = _drawn(send, url, number, announced, again=True)
                wrong = [first.wrong(), again.wrong(), *announced.wrong]
                if self._versions == 1 and again.kept != {*range(PANELS)}:
                    wrong.append(f"sent again, only {sorted(again.kept)} were kept")
                announced.wrong.clear()
                yield Attempt("; ".join(filter(None, wrong)), {"seconds": seconds, **figures})

    def _later_python(self, bench: Bench) -> Sequence[str]:
        if self._versions == 1:
            return (sys.executable,)
        # -P: the working directory holds this version.
        return (str(other_version(bench.folder("version") / "environment")), "-P")


def drawn_again(store: Path, announced: Announced) -> list[str]:
    """Announced panels that the store holds under another address too, written afterwards.

    A newer version has other addresses, so the client's events cannot show this. Each panel has a
    seed that no other has. One that was drawn before, and that nobody was told of, was in flight.
    """
    kept: dict[int, list[Path]] = {}
    for path in (each for each in store.rglob("*") if _ADDRESS.fullmatch(each.name)):
        seed = unpacked(path.read_bytes(), path.name).facts.seed
        kept.setdefault(seed, []).append(path)
    wrong = []
    for seed, paths in kept.items():
        told = [path.stat().st_mtime_ns for path in paths if path.name in announced.panels]
        later = max(path.stat().st_mtime_ns for path in paths)
        if told and later > min(told):
            wrong.append(f"seed {seed} was announced, and drawn again under another address")
    return wrong


def _wait(replacing: Replacing, rolling: Future[None]) -> None:
    """Until a server is replaced, or the replacing has failed."""
    while not replacing.done and not rolling.done():
        time.sleep(0.1)


def _timed(
    send: Send, url: str, number: int, announced: Announced, began: threading.Event
) -> tuple[Drawn, float]:
    start = time.monotonic()
    began.set()
    drawn = _drawn(send, url, number, announced, again=False)
    return drawn, time.monotonic() - start


def _drawn(send: Send, url: str, number: int, announced: Announced, *, again: bool) -> Drawn:
    drawn = Drawn(PANELS)
    panels, drawn.error = send(url, board(11 * 10**6 + number, PANELS, STEPS))
    for panel in panels:
        drawn.take_digest(panel.panel, panel.digest, kept=panel.kept)
        announced.take(panel.address, panel.digest, kept=panel.kept, again=again)
    return drawn


def _sender(bench: Bench, *, older: bool) -> Send:
    """What sends a storyboard: today's client in this process, or an earlier one in its own."""
    if not older:
        return _send
    client = older_client(bench.folder("older"))
    return lambda url, wanted: client.draw(url, wanted, RETRIES)


def _send(url: str, wanted: Storyboard) -> tuple[list[SentPanel], str]:
    panels: list[SentPanel] = []
    with client_of(url, retries=RETRIES) as client:
        try:
            for panel in client.draw(wanted):
                digest = hashlib.sha256(panel.png).hexdigest()
                panels.append(SentPanel(panel.panel, digest, panel.address, panel.kept))
        except LafiError as error:
            return panels, str(error)
    return panels, ""


def _in_flight(running: Served) -> float:
    return running.metric("lafi_requests_in_flight")


ROLLING = (
    RollingUpgrade(Envoy()),
    RollingUpgrade(HaProxy()),
    RollingUpgrade(Envoy(), versions=2),
    RollingUpgrade(Envoy(), versions=2, older=True),
)
