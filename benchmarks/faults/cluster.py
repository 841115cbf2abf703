"""Servers behind one address as the chart runs them: a name and a journal each, and one store."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from benchmarks.faults.balancers import Pod
from benchmarks.faults.served import Served, end, start
from lafi.server.free_ports import HeldPorts, PortTakenError, hold_ports
from lafi.store.journal import JOURNAL_FILE

ORDINALS: Final = (2, 3)
"""Of the pods; each is also the last number of a loopback address."""
STEM: Final = "lafi-main"
_NAMES: Final = ("grpc", "health")
_TRIES: Final = 100


class Cluster:
    """All share a store and nothing else."""

    def __init__(self, repository: Path, folder: Path) -> None:
        """repository: what `lafi export` wrote; each server gets a copy. folder: for all of it."""
        self.folder = folder
        self.store = folder / "store"
        self.running: dict[int, Served] = {}
        self._repositories = {ordinal: folder / f"repository{ordinal}" for ordinal in ORDINALS}
        for copy in self._repositories.values():
            shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("state"))
        self._held = ExitStack()
        self._ports = _held_ports(self._held)
        grpc, health = (self._ports[name] for name in _NAMES)
        self.pods = {ordinal: Pod(grpc, health, _address(ordinal)) for ordinal in ORDINALS}
        self._lives = 0

    def start(self, ordinal: int, python: Sequence[str] = (sys.executable,)) -> None:
        """It comes up with what an earlier one of this number left. python: what runs it."""
        options = (
            *("--host", _address(ordinal), "--pod", f"{STEM}-{ordinal}"),
            *("--grpc-port", str(self._ports["grpc"])),
            *("--health-port", str(self._ports["health"])),
            *("--peers", f"{_address('{ordinal}')}:{self._ports['grpc']}"),
            *("--store", str(self.store), "--canary-seconds", "0"),
        )
        self._lives += 1
        life = self.folder / f"life{ordinal}-{self._lives}"
        repository = self._repositories[ordinal]
        self.running[ordinal] = start(repository, life, options, python=python)

    def stop(self) -> None:
        """All of them, and let their ports go."""
        for running in self.running.values():
            end(running)
        self._held.close()

    def journalled(self, ordinal: int) -> int:
        """Storyboards in its journal."""
        path = self._repositories[ordinal] / "state" / "journal" / JOURNAL_FILE
        with closing(sqlite3.connect(path)) as rows:
            return int(rows.execute("SELECT count(*) FROM storyboard").fetchone()[0])


def _address(ordinal: int | str) -> str:
    return f"127.0.0.{ordinal}"


def _held_ports(held: ExitStack) -> Mapping[str, int]:
    """The same free numbers on the addresses of all pods, held until `held` is closed."""
    for _ in range(_TRIES):
        with ExitStack() as tried:
            first = tried.enter_context(_hold(ORDINALS[0], dict.fromkeys(_NAMES, 0)))
            try:
                for ordinal in ORDINALS[1:]:
                    tried.enter_context(_hold(ordinal, first.numbers))
            except PortTakenError:
                continue
            held.enter_context(tried.pop_all())
            return first.numbers
    raise PortTakenError(f"no ports were free on all of {[*map(_address, ORDINALS)]}")


def _hold(ordinal: int, numbers: Mapping[str, int]) -> HeldPorts:
    return hold_ports(_address(ordinal), numbers)
