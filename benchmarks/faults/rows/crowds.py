"""Many clients at once: more than there is room for, refused, gone, or asleep."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from tritonclient.grpc import service_pb2_grpc

from benchmarks.faults.attempt import Attempt, Bench, rng_of
from benchmarks.faults.drawing import (
    OPTIONS,
    bare_stub,
    board,
    client_of,
    document_request,
    draw,
)
from benchmarks.faults.served import Served, seconds_until
from lafi_client import LafiError, ServerUnavailable, StoryboardClient
from lafi_client.wire import storyboard_request

STREAMS = 32
MIB = 2**20
REFUSED = ("INVALID_ARGUMENT", "UNAVAILABLE: this server draws at most")
"""How refusals begin: what is sent is no storyboard, and there may be no place to read it."""
METRICS_SECONDS = 1.5
"""After which the numbers of /metrics are those of now."""


class Load:
    """A try is a storyboard; 32 are asked for at a time, more than a server takes on."""

    name = "load"
    demand = "32 streams, 500 storyboards x 8 panels at few steps: none lost, doubled or wrong"
    full, short = 500, 32

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Every storyboard from a client of its own."""
        with bench.serve() as served, ThreadPoolExecutor(STREAMS) as pool:
            yield from pool.map(lambda number: self._one(served, number), numbers)

    def _one(self, served: Served, number: int) -> Attempt:
        began = time.monotonic()
        wanted = board(4 * 10**6 + number)
        with client_of(served.url, retries=600) as client:
            drawn = draw(client, wanted)
        seconds = time.monotonic() - began
        files = len({*drawn.panels.values()})
        wrong = "" if files == len(wanted.panels) else f"{files} different panels"
        return Attempt(drawn.wrong() or wrong, {"seconds": seconds})


class Overload:
    """A try is 20 s of four times what the server can do, from clients that do not come again."""

    name = "overload"
    demand = (
        "4 x capacity for 60 s: refusals p99 < 100 ms, accepted complete 100%, throughput >= 90% "
        "of the peak"
    )
    full, short = 3, 1
    seconds = 20.0

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Capacity first, with as many clients as are drawn for at a time."""
        with bench.serve() as served:
            for number in numbers:
                first = 5 * 10**6 + 10**5 * number
                yield self._flood(served, first + 50_000, self._peak(served, first))

    def _peak(self, served: Served, first: int) -> float:
        """Storyboards per second of 8 clients that wait for each other."""
        end = time.monotonic() + self.seconds
        done: list[int] = []

        def work(place: int) -> None:
            with client_of(served.url) as client:
                while time.monotonic() < end:
                    draw(client, board(first + 1000 * place + len(done), panels=2))
                    done.append(1)

        _all_of(work, range(8))
        return len(done) / self.seconds

    def _flood(self, served: Served, first: int, peak: float) -> Attempt:
        refused: list[float] = []
        accepted: list[str] = []
        began = time.monotonic()

        def ask(number: int) -> None:
            asked = time.monotonic()
            with StoryboardClient(served.url, retries=0) as client:
                try:
                    panels = list(client.draw(board(first + number, panels=2)))
                    accepted.append("" if len(panels) == 2 else f"{len(panels)} of 2 panels")
                except ServerUnavailable as error:
                    refused.append(time.monotonic() - asked)
                    if not error.retryable:
                        accepted.append(str(error))
                except LafiError as error:
                    accepted.append(str(error))

        threads: list[threading.Thread] = []
        while (now := time.monotonic() - began) < self.seconds:
            if len(threads) <= 4 * peak * now:
                threads.append(threading.Thread(target=ask, args=(len(threads),)))
                threads[-1].start()
            time.sleep(0.002)
        for thread in threads:
            thread.join()
        rate = accepted.count("") / (time.monotonic() - began)
        p99 = statistics.quantiles(refused, n=100)[98] if len(refused) > 1 else 0.0
        wrong = [line for line in accepted if line]
        if p99 >= 0.1:
            wrong.append(f"99% of refusals within {1000 * p99:.0f} ms")
        if rate < 0.9 * peak:
            wrong.append(f"{rate:.2f} storyboards a second, {peak:.2f} at the peak")
        figures = {"peak": peak, "rate": rate, "refused": len(refused), "refused_p99_s": p99}
        return Attempt("; ".join(wrong), figures)


class Refusals:
    """A try is 100 refusals, in one thread or in eight, whose streams are left at once."""

    name = "refusals"
    demand = "5,000 in one thread and in eight: server alive"
    full, short = 100, 6
    at_once = 100

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """All on one server."""
        with bench.serve() as served:
            restarts = served.restarts()
            for number in numbers:
                workers = (1, 8)[number % 2]
                with ThreadPoolExecutor(workers) as pool, bare_stub(served.url) as stub:
                    said = list(pool.map(lambda _, stub=stub: _refusal(stub), range(self.at_once)))
                wrong = [line for line in said if not line.startswith(REFUSED)]
                wrong += served.harm_since(restarts)
                yield Attempt("; ".join(wrong[:3]))


class Disconnects:
    """A try is ten clients that leave at a random event."""

    name = "disconnects"
    demand = "1,000, without detach: work stops within one step, gauges return to 0"
    full, short = 100, 3
    at_once = 10

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Nothing is drawn a second after the last one left."""
        with bench.serve() as served:
            for number in numbers:
                rng = rng_of(self.name, number)
                first = 6 * 10**6 + 100 * number

                def leave(place: int, first: int = first, events: int = rng.randint(1, 40)) -> None:
                    with bare_stub(served.url) as stub:
                        wanted = storyboard_request(board(first + place, 8, 60))
                        call = stub.ModelStreamInfer(iter([wanted]), timeout=60)
                        for count, _ in enumerate(call):
                            if count >= events:
                                break
                        call.cancel()

                _all_of(leave, range(self.at_once))
                took = seconds_until(lambda: not served.metric("lafi_storyboards_in_flight"), 10.0)
                time.sleep(METRICS_SECONDS)
                steps = served.metric("lafi_panel_steps_total")
                time.sleep(METRICS_SECONDS)
                more = served.metric("lafi_panel_steps_total") - steps
                wrong = "" if took is not None else "still in flight after 10 s"
                if more:
                    wrong += f" {more:.0f} steps after the last one left"
                yield Attempt(wrong.strip(), {"seconds": took or 10.0})


class SlowReaders:
    """Sixteen streams of large panels that nobody reads."""

    name = "slow readers"
    demand = "16 unread streams: memory within the admitted bytes, given back"
    full, short = 3, 1
    streams = 16

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Memory before, while nobody reads, and after they left."""
        with bench.serve() as served:
            with client_of(served.url) as client:
                draw(client, board(7 * 10**6))
            for number in numbers:
                before = served.resident_bytes()
                channels, calls = [], []
                for place in range(self.streams):
                    channel = grpc.insecure_channel(served.url, OPTIONS)
                    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                    wanted = board(7 * 10**6 + 100 * number + place + 1, panels=32, steps=1)
                    calls.append(stub.ModelStreamInfer(iter([storyboard_request(wanted)])))
                    channels.append(channel)
                seconds_until(lambda: not served.metric("lafi_storyboards_in_flight"), 60)
                during = served.resident_bytes()
                for call, channel in zip(calls, channels, strict=True):
                    call.cancel()
                    channel.close()
                time.sleep(2)
                after = served.resident_bytes()
                figures = {
                    "before_mib": before / MIB,
                    "during_mib": during / MIB,
                    "after_mib": after / MIB,
                }
                wrong = "" if after - before < 200 * MIB else "memory was not given back"
                yield Attempt(wrong, figures)


def _refusal(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> str:
    call = stub.ModelStreamInfer(iter([document_request(b'{"panels": []}')]), timeout=60)
    try:
        said = next(call).error_message
    except grpc.RpcError as error:
        return str(error.code().name)
    call.cancel()
    return str(said)


def _all_of(work: Callable[[int], None], places: range) -> None:
    threads = [threading.Thread(target=work, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
