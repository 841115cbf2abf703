"""How much clients may have under way at the front: bytes of requests, and answers unread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from lafi.front.request_check import RequestRefused


@dataclass(frozen=True, slots=True)
class Limits:
    """request: most bytes of one request. in_flight: of all clients' together.

    unread_seconds: for how long a client may leave an answer of a stream unread.
    """

    request: int
    in_flight: int
    unread_seconds: float


class Held:
    """Bytes of one request, given back once."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def pass_on(self) -> Callable[[], None]:
        """Whoever gets this gives them back, by calling it."""
        assert self._give_back is not None
        give_back, self._give_back = self._give_back, None
        return give_back

    def end(self) -> None:
        """Give them back, unless they were passed on."""
        if self._give_back is not None:
            self.pass_on()()


class RequestBytes:
    """Counts the bytes of requests from their arrival to their end, over all clients."""

    def __init__(self, most: int) -> None:
        """most: bytes at a time."""
        self._most = most
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of requests that are under way."""
        return self._held

    @contextmanager
    def held_until_passed_on(self, size: int) -> Iterator[Held]:
        """Takes bytes, and gives them back at the end unless somebody else will."""
        self.take(size)
        held = Held(lambda: self.give_back(size))
        try:
            yield held
        finally:
            held.end()

    def take(self, size: int) -> None:
        """A request has come. Raises RequestRefused, RESOURCE_EXHAUSTED, if it is too much now."""
        if self._held + size > self._most:
            raise RequestRefused(
                f"this server holds at most {self._most} bytes of requests at a time; "
                f"{self._held} are under way and this one has {size}; try again later",
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            )
        self._held += size

    def give_back(self, size: int) -> None:
        """The request has ended."""
        self._held -= size
