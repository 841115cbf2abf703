"""What clients have under way is bounded, given back, and nobody's unread answers pile up."""

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from front_requests import IDENTIFY, STORY, enrolment, of, outcome
from front_server import FrontServer, front_server, streamed
from hypothesis import given
from hypothesis import strategies as st
from waiting import soon

from lafi.front.load import RequestBytes
from lafi.front.request_check import RequestRefused
from lafi.front.run_folder import REQUEST_KEY
from lafi.wire.events import PanelImage

MIB = 2**20
PNG = b"\x89PNG" + bytes(MIB)
PANEL = PanelImage(panel=0, png=PNG, seed=1, prompt="", address="0" * 64, seconds=0.0)


@given(st.integers(1, 100), st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40))
def test_never_more_than_the_limit_and_all_of_it_comes_back(
    most: int, moves: list[tuple[int, bool]]
) -> None:
    counted, held = RequestBytes(most), list[int]()
    for size, ends in moves:
        if ends and held:
            counted.give_back(held.pop())
        elif sum(held) + size <= most:
            counted.take(size)
            held.append(size)
        else:
            text = f"at most {most} bytes .* {sum(held)} are under way and this one has {size}"
            with pytest.raises(RequestRefused, match=text) as refused:
                counted.take(size)
            assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert counted.held == sum(held) <= most
    for passed_on in (False, True):
        before = counted.held
        with counted.held_until_passed_on(0) as held_bytes:
            give_back = held_bytes.pass_on() if passed_on else None
        if give_back is not None:
            give_back()
        assert counted.held == before


def large(size: int) -> Any:
    return of("storyboard", ("STORYBOARD", b"{}"), ("REFERENCES", bytes(size)))


def test_requests_of_all_clients_count_together_until_they_end(short_folder: Path) -> None:
    hold, begun = threading.Event(), threading.Semaphore(0)

    def slowly(request: Any, context: Any) -> Iterator[Any]:
        begun.release()
        hold.wait(20)
        yield streamed(PANEL)

    with front_server(short_folder, bytes_in_flight=5 * MIB) as front:
        front.triton.stream = slowly
        calls = [front.stub().ModelStreamInfer(iter([large(2 * MIB)])) for _ in range(2)]
        for _ in calls:
            assert begun.acquire(timeout=10)
        for method, request in (
            ("ModelStreamInfer", large(2 * MIB)),
            (
                "ModelInfer",
                of(
                    "identity_enrolment",
                    *[
                        ("ACTION", b"enrol"),
                        ("CHARACTER", b"mia"),
                        ("IMAGES", bytes(2 * MIB)),
                    ],
                ),
            ),
        ):
            status, text = outcome(front, method, request)
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert f"at most {5 * MIB} bytes of requests at a time" in text
            assert "try again later" in text
        assert outcome(front, "ModelInfer", IDENTIFY)[0] is grpc.StatusCode.OK, "small ones pass"
        calls[0].cancel()  # a client that leaves: the request is under way until its end
        assert outcome(front, "ModelStreamInfer", large(2 * MIB))[0] is not grpc.StatusCode.OK
        hold.set()
        assert len(list(calls[1])) == 1
        soon(lambda: front.gate.in_flight == 0)
        for _ in range(5):
            assert outcome(front, "ModelStreamInfer", large(2 * MIB))[0] is grpc.StatusCode.OK
            bad = large(2 * MIB)
            bad.inputs[0].shape[0] = 7
            refused = outcome(front, "ModelStreamInfer", bad)[0]
            assert refused is grpc.StatusCode.INVALID_ARGUMENT
            assert outcome(front, "ModelInfer", enrolment(b"enrol"))[0] is grpc.StatusCode.OK


class Flood:
    """A model that answers as fast as it may, for as long as somebody waits."""

    def __init__(self, front: FrontServer, panels: int) -> None:
        self.sent = 0
        self.left = 0
        self._front, self._panels = front, panels

    def __call__(self, request: Any, context: Any) -> Iterator[Any]:
        key = request.parameters[REQUEST_KEY].string_param
        for _ in range(self._panels):
            if self._front.folder.cancelled(key).exists():
                self.left += 1
                return
            self.sent += 1
            yield streamed(PANEL)


def test_sixteen_streams_that_nobody_reads_are_held_and_then_ended(short_folder: Path) -> None:
    with front_server(short_folder, unread_seconds=1.0) as front:
        flood = front.triton.stream = Flood(front, 200)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        calls = [front.stub().ModelStreamInfer(iter([STORY])) for _ in range(16)]
        soon(lambda: flood.left == 16, 30)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        # 3.1 GiB would have come; both ends of 16 connections, the flow of each bounded by gRPC.
        assert flood.sent < 16 * 60
        assert grown < 16 * 60
        soon(lambda: front.gate.in_flight == 0)
        answers: list[Any] = []
        with pytest.raises(grpc.RpcError) as ended:
            answers.extend(calls[0])
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "nobody read this stream for 1 s; try again later" in ended.value.details()
        assert not any(answer.error_message for answer in answers)
        for call in calls:
            call.cancel()
        front.triton.stream = lambda request, context: [streamed(PANEL)]
        assert outcome(front, "ModelStreamInfer", STORY)[0] is grpc.StatusCode.OK


def test_who_reads_slowly_but_reads_gets_all(short_folder: Path) -> None:
    with front_server(short_folder, unread_seconds=1.0) as front:
        front.triton.stream = Flood(front, 40)
        count = 0
        for _ in front.stub().ModelStreamInfer(iter([STORY]), timeout=60):
            count += 1
            time.sleep(0.05)
        assert count == 40


def test_the_model_is_told_how_much_was_passed_on(short_folder: Path) -> None:
    sizes = []
    with front_server(short_folder) as front:

        def paced(request: Any, context: Any) -> Iterator[Any]:
            taken = front.folder.taken(request.parameters[REQUEST_KEY].string_param)
            for number in range(1, 6):
                yield streamed(PANEL)
                least = number * MIB
                soon(lambda least=least: taken.exists() and taken.stat().st_size >= least)
                sizes.append(taken.stat().st_size)

        front.triton.stream = paced
        assert len(list(front.stub().ModelStreamInfer(iter([STORY]), timeout=30))) == 5
        assert all(n * MIB <= size < n * MIB + 9000 for n, size in enumerate(sizes, 1))
        soon(lambda: not any(front.folder.taken("").iterdir()))
