"""Several servers: which one is asked next. Opens no channel."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

from lafi_client.channel import is_one_address
from lafi_client.patience import Clock

S = TypeVar("S")
AVOID_SECONDS = 30.0
"""For how long a server that failed is asked only if all others failed too."""


def addresses(url: str | Sequence[str]) -> tuple[str, ...]:
    """One address, several with commas between them, or a list of them. Raises ValueError.

    `ipv4:a:port,b:port` is one address.
    """
    if isinstance(url, str):
        several: Sequence[str] = [url] if is_one_address(url) else url.split(",")
    else:
        several = url
    found = tuple(each.strip() for each in several)
    if not found or len({*found}) != len(found):
        raise ValueError(f"url: got {url!r}, allowed one address, or several different ones")
    return found


class Servers(Generic[S]):
    """Storyboards go round; a server that failed lately is passed over while another is left."""

    def __init__(self, servers: Sequence[S], clock: Clock = time.monotonic) -> None:
        """servers: one or more."""
        self.all = tuple(servers)
        self._clock = clock
        self._failed = [float("-inf")] * len(self.all)
        self._turn = -1

    def next(self) -> S:
        """The server to ask now."""
        count = len(self.all)
        turns = [(self._turn + 1 + step) % count for step in range(count)]
        now = self._clock()
        good = [turn for turn in turns if now - self._failed[turn] > AVOID_SECONDS]
        self._turn = good[0] if good else min(turns, key=self._failed.__getitem__)
        return self.all[self._turn]

    def failed(self, server: S) -> None:
        """It did not answer, or would not take more."""
        self._failed[self.all.index(server)] = self._clock()
