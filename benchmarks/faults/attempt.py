"""What a test of many tries is, and what it is given."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.faults.served import Served, serve


class Attempt(NamedTuple):
    """One try. failed: what went wrong, "" if nothing did. figures: by name, as measured."""

    failed: str
    figures: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Bench:
    """The repository to serve, and a folder for what the tries leave.

    shared: a server for all tests that ask for nothing special, where starts would take too long.
    """

    repository: Path
    work: Path
    shared: Served | None = None
    _made: list[int] = field(default_factory=list)

    def folder(self, name: str) -> Path:
        """A new folder."""
        self._made.append(0)
        made = self.work / f"{name}-{len(self._made):04d}"
        made.mkdir(parents=True)
        return made

    def serve(self, *options: str, before: Sequence[str] = ()) -> AbstractContextManager[Served]:
        """A ready server with a store of its own unless the options name one."""
        if self.shared is not None and not options and not before:
            return nullcontext(self.shared)
        folder = self.folder("serve")
        if "--store" not in options:
            options = (*options, "--store", str(folder / "store"))
        return serve(self.repository, folder / "tmp", options, before)


class FaultTest(Protocol):
    """A row of the table. demand: what must hold, in words. full, short: how many tries.

    Tries are numbered, so that a run can go on where it stopped, and what is random in a try
    follows from its number.
    """

    name: str
    demand: str
    full: int
    short: int

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Do these tries, one result each."""


def rng_of(name: str, number: int) -> random.Random:
    """The random choices of one try."""
    return random.Random(f"{name} {number}")
