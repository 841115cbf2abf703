"""kill -9 of every process of a server, at random moments of a drawing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from benchmarks.faults import served as serving
from benchmarks.faults.attempt import Attempt, Bench, rng_of
from benchmarks.faults.drawing import BareStream, Drawn, board, client_of, draw, drawing
from benchmarks.faults.served import Served, seconds_until
from lafi.server.free_ports import hold_ports
from lafi.server.triton_server import find_models

NOTICED_SECONDS = 5.0
MORE_THAN_A_START = 10.0
PANELS, STEPS = 8, 20


def find_lost(url: str, number: int, before: Drawn) -> str:
    """What is wrong with panels that were announced: sent again, each is the same file."""
    wanted = board(number, PANELS, STEPS)
    with client_of(url) as client:
        again = draw(client, wanted)
    lost = [place for place, digest in before.panels.items() if again.panels.get(place) != digest]
    redrawn = sorted({*before.panels} - again.kept)
    return f"lost {lost} drawn again {redrawn}" if lost or redrawn else again.wrong()


class KillModels:
    """A served model's process dies; the whole Triton Server is started again."""

    name = "kill -9 of a model's process"
    demand = (
        "error within 5 s, not ready within 5 s, drawing again within an undisturbed start plus "
        "10 s, 0 finished panels redrawn, 0 accepted storyboards lost"
    )
    full, short = 60, 3

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """All tries on one server."""
        models = find_models(bench.repository)
        began = time.monotonic()
        with bench.serve() as served:
            start = time.monotonic() - began
            for number in numbers:
                yield self._one(served, number, models[number % len(models)], start)

    def _one(self, served: Served, number: int, model: str, start: float) -> Attempt:
        rng = rng_of(self.name, number)
        with drawing(served.url, board(number, PANELS, STEPS)) as drawn:
            bare = BareStream(served.url, board(10**6 + number, PANELS, STEPS))
            drawn.first.wait(60)
            time.sleep(rng.uniform(0, 1.5))
            announced = Drawn(PANELS, dict(drawn.panels))
            was_drawing = not bare.ended.is_set()
            os.kill(served.model(model), signal.SIGKILL)
            killed = time.monotonic()
            unready = seconds_until(lambda: not served.is_ready(), NOTICED_SECONDS)
            told = bare.ended.wait(NOTICED_SECONDS)
            ready = seconds_until(served.is_ready, start + MORE_THAN_A_START + NOTICED_SECONDS)
            again = time.monotonic() - killed
        bare.close()
        figures = {
            "start_s": start,
            "unready_s": unready or 0.0,
            "error_s": bare.ended_at - killed if was_drawing and told else 0.0,
            "ready_again_s": again,
        }
        wrong = [drawn.wrong(), find_lost(served.url, number, announced)]
        if unready is None:
            wrong.append(f"{model}: still ready after {NOTICED_SECONDS} s")
        if was_drawing and not told:
            wrong.append(f"{model}: no error after {NOTICED_SECONDS} s")
        if ready is None or again > start + MORE_THAN_A_START:
            wrong.append(f"{model}: drawing again after {again:.1f} s, a start takes {start:.1f}")
        return Attempt("; ".join(filter(None, wrong)), figures)


class KillParts:
    """The front, Triton Server, the watchdog or the supervisor itself dies."""

    name = "kill -9 of front, server, watchdog, supervisor"
    demand = "0 announced panels lost or drawn again, 0 orphans, 0 files left"
    full, short = 60, 4
    parts: Sequence[tuple[str, Callable[[Served], int]]] = (
        ("front", Served.front),
        ("server", Served.triton),
        ("watchdog", Served.watchdog),
        ("supervisor", lambda served: served.process.pid),
    )

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """All tries on one store and one port; a killed supervisor is started again."""
        folder = bench.folder("parts")
        held = hold_ports("127.0.0.1", {"grpc": 0})
        port = str(held.numbers["grpc"])
        options = ("--store", str(folder / "store"), "--grpc-port", port)
        served = serving.start(bench.repository, folder / "tmp", options)
        try:
            for number in numbers:
                part, pid_of = self.parts[number % len(self.parts)]
                rng, wanted = rng_of(self.name, number), 2 * 10**6 + number
                left: list[str] = []
                with drawing(served.url, board(wanted, PANELS, STEPS)) as drawn:
                    drawn.first.wait(60)
                    time.sleep(rng.uniform(0, 1.5))
                    announced = Drawn(PANELS, dict(drawn.panels))
                    os.kill(pid_of(served), signal.SIGKILL)
                    if part == "supervisor":
                        left = _left_by(served)
                        served = serving.start(bench.repository, folder / "tmp", options)
                    seconds_until(served.is_ready, 120)
                wrong = [drawn.wrong(), find_lost(served.url, wanted, announced)]
                if left:
                    wrong.append(f"left {left}")
                yield Attempt("; ".join(f"{part}: {line}" for line in wrong if line))
        finally:
            serving.end(served)
            held.release()


def _left_by(dead: Served) -> list[str]:
    """What a killed supervisor leaves after 20 s; it is removed then."""
    dead.process.communicate()
    seconds_until(lambda: not dead.left(), 20)
    left = dead.left()
    for pid in dead.parts():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


class Terminate:
    """SIGTERM while storyboards are drawn, then a new server on the same store."""

    name = "SIGTERM under load"
    demand = "exit 0 within the grace period, everything resumed"
    full, short = 20, 1

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Every try starts and ends a server; the next one goes on with what is detached."""
        folder = bench.folder("terminate")
        options = ("--store", str(folder / "store"), "--grace", "5")
        served = serving.start(bench.repository, folder / "tmp", options)
        try:
            for number in numbers:
                rng = rng_of(self.name, number)
                with client_of(served.url) as client:
                    ids = [
                        client.submit(board(3 * 10**6 + 10 * number + n, PANELS, 40, detach=True))
                        for n in range(4)
                    ]
                time.sleep(rng.uniform(0.1, 2.0))
                began = time.monotonic()
                status = serving.end(served, 30)
                took = time.monotonic() - began
                left = served.left()
                served = serving.start(bench.repository, folder / "tmp", options)
                wrong = [f"exit status {status} after {took:.1f} s"] if status or took > 15 else []
                wrong += [f"left {left}"] if left else []
                for identifier in ids:
                    wrong.append(_attached(served.url, identifier))
                yield Attempt("; ".join(filter(None, wrong)), {"exit_s": took})
        finally:
            serving.end(served)


def _attached(url: str, identifier: str) -> str:
    drawn = Drawn(PANELS)
    with client_of(url) as client:
        for event in client.attach(identifier):
            if event.kind == "panel":
                drawn.take(event.panel, event.png, kept=event.kept)
    return drawn.wrong()
