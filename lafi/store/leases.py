"""Which of several servers on one place draws a storyboard: a small object with an end.

Whoever holds a lease renews it; one whose holder died ends by itself, and at once where the holder
was a process of this machine. Two that take one at the same moment may both believe to have it:
then panels in flight are drawn twice, which costs time and nothing else.
"""

import json
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lafi.store.place import LEASES, Place

LEASE_SECONDS: Final = 15.0
_log = logging.getLogger(__name__)


class Leases:
    """The leases that this server holds; every method may be called by any thread."""

    def __init__(
        self,
        place: Place,
        *,
        owner: str = "",
        seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """owner: default: this process. seconds: until one ends that is not renewed."""
        self._place = place
        self._owner = owner or own_name()
        self._seconds = seconds
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)
        self._thread.start()

    def take(self, name: str, identifier: str = "") -> bool:
        """Whether the lease is ours: it was, or nobody holds it. Once more for each `release`.

        identifier: what is drawn, for whoever looks. True, too, where the place cannot be read or
        written: then nobody is kept from drawing.
        """
        with self._lock:
            try:
                if not self._held[name]:
                    if not self._free(name):
                        return False
                    self._write(name, identifier)
                    if self._holder(name) not in (self._owner, ""):
                        return False
            except OSError:
                _log.exception("a lease could not be taken")
            self._held[name] += 1
            return True

    def release(self, name: str) -> None:
        """It is not needed any more, as often as it was taken."""
        with self._lock:
            self._held[name] -= 1
            if self._held[name] > 0:
                return
            del self._held[name]
            try:
                if self._holder(name) == self._owner:
                    self._place.remove(LEASES + name)
            except OSError:
                _log.exception("a lease could not be given back; it ends by itself")

    def close(self) -> None:
        """Renew nothing more."""
        self._closed.set()
        self._thread.join()

    def _free(self, name: str) -> bool:
        return self._holder(name) in (self._owner, "")

    def _holder(self, name: str) -> str:
        """Who holds it; "" if nobody does any more."""
        found = _read(self._place.read(LEASES + name))
        owner, until = str(found.get("owner", "")), found.get("until", 0.0)
        ended = not isinstance(until, int | float) or until <= self._clock()
        return "" if ended or is_dead(owner) else owner

    def _write(self, name: str, identifier: str) -> None:
        lease = {"id": identifier, "owner": self._owner, "until": self._clock() + self._seconds}
        self._place.write(LEASES + name, json.dumps(lease).encode())

    def _renew(self) -> None:
        while not self._closed.wait(self._seconds / 3):
            with self._lock:
                for name in [*self._held]:
                    try:
                        if self._holder(name) in (self._owner, ""):
                            self._write(name, "")
                    except OSError:
                        _log.exception("a lease could not be renewed")


def own_name() -> str:
    """This process, so that others on its machine can see whether it lives."""
    return f"{_machine()}:{os.getpid()}:{_began(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that is no more; false if that is unknown."""
    machine, _, process = owner.partition(":")
    pid, _, began = process.partition(":")
    return machine == _machine() and pid.isdecimal() and _began(int(pid)) != began


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    # Process ids mean something within one namespace only, such as a container.
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return f"{socket.gethostname()}-{boot}-{number}"


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _read(data: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
