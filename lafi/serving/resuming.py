"""Goes on with detached storyboards that nobody waits for, after a restart or a passing failure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.serving.job import Status
from lafi.serving.keeper import Keeper
from lafi.serving.service import StoryboardService
from lafi.wire.control import Answer
from lafi.wire.events import Event

LIVES = 5
"""Lives of a server that a storyboard may be begun in without a new panel, in case it ends them."""
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
_log = logging.getLogger(__name__)


class Resuming:
    """A thread that begins what is journalled, detached, not done and not in flight."""

    def __init__(
        self,
        service: StoryboardService,
        keeper: Keeper,
        is_ready: Callable[[], bool] = lambda: True,
        look_seconds: float = 1.0,
    ) -> None:
        """is_ready: whether all that drawing needs is there. look_seconds: between two looks."""
        self._service = service
        self._keeper = keeper
        self._is_ready = is_ready
        self._look_seconds = look_seconds
        self._due: dict[str, tuple[float, float]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resuming", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._look_seconds):
            try:
                if self._is_ready() and not self._service.closing():
                    self._look()
            except Exception:
                _log.exception("journalled storyboards could not be gone on with")

    def _look(self) -> None:
        for identifier, lives in self._keeper.unfinished():
            if self._service.in_flight(identifier):
                continue
            when, delay = self._due.get(identifier, (0.0, 0.0))
            if time.monotonic() < when:
                continue
            if not delay:
                if lives >= LIVES:
                    self._give_up(identifier, f"{lives} servers ended while it was drawn")
                    continue
                self._keeper.live(identifier, lives + 1)
            delay = min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * delay))
            self._due[identifier] = (time.monotonic() + delay, delay)
            self._begin(identifier)

    def _begin(self, identifier: str) -> None:
        sender = _Nobody(lambda why: self._give_up(identifier, why))
        self._service.accept(lambda: self._storyboard(identifier), sender, known=identifier)

    def _storyboard(self, identifier: str) -> Storyboard:
        found = self._keeper.storyboard(identifier)
        if found is None:
            raise StoryboardError([f"id: {identifier} was forgotten this moment"])
        return found

    def _give_up(self, identifier: str, why: str) -> None:
        _log.error("the storyboard %s... is drawn no more by itself: %s", identifier[:8], why)
        self._keeper.fail(identifier)


class _Nobody:
    """A client that is not there."""

    def __init__(self, give_up: Callable[[str], None]) -> None:
        """give_up: told why the storyboard will never be drawn."""
        self._give_up = give_up

    def send(self, event: Event | Answer) -> None:
        """Nothing."""

    def refuse(self, status: Status, message: str) -> None:
        """It was drawable before, so something changed for good, or it may be tried again."""
        if status == "INVALID_ARGUMENT":
            self._give_up(message)

    def finish(self) -> None:
        """Nothing."""

    def is_cancelled(self) -> bool:
        """Never: what is resumed is detached."""
        return False
