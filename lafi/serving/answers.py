"""How an exception becomes the end of an answer: a status and words that help the client.

Knows what the rooms below raise. What is named here may be told; of all else the client gets a
number, and the log has the rest.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from lafi.board.error import StoryboardError
from lafi.serving.admission import RefusedError
from lafi.serving.failure import log_failure
from lafi.serving.job import Sender, Status
from lafi.store.journal import JournalFullError
from lafi.store.panels import StoreError
from lafi.wire.events import Failed
from lafi.wire.failure import without_paths
from lafi.wire.picture_names import UnknownPicturesError

_log = logging.getLogger(__name__)


class ServedModelError(RuntimeError):
    """A served model answered with an error. retryable: whether another try may succeed.

    told: what clients may be told of it: only what our own models say of their input.
    """

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"the model {model} failed: {message}")
        self.retryable = not message.startswith("INVALID_ARGUMENT")
        self.told = f"the model {model} failed"
        if not self.retryable:
            self.told += f": {without_paths(message)}"


class NotAllowedError(RuntimeError):
    """The caller's key lacks a right."""


class UnknownIdError(LookupError):
    """No storyboard has this id, or not any more."""


_REFUSALS: Final[tuple[tuple[type[Exception], Status], ...]] = (
    (NotAllowedError, "PERMISSION_DENIED"),
    (StoryboardError, "INVALID_ARGUMENT"),
    (UnknownPicturesError, "NOT_FOUND"),
    (UnknownIdError, "NOT_FOUND"),
    (RefusedError, "UNAVAILABLE"),
    (JournalFullError, "UNAVAILABLE"),
)
"""Errors that are written for the client: their text is the answer."""


def refuse(sender: Sender, error: Exception) -> None:
    """Refuses a request that nothing was done for; never raises."""
    for kind, status in _REFUSALS:
        if isinstance(error, kind):
            end(sender, status, str(error))
            return
    inside = log_failure(_log, error)
    told = _told(error)
    if told and is_retryable(error):
        end(sender, "UNAVAILABLE", f"{told}; {inside}")
    else:
        end(sender, "INTERNAL", inside)


def end(sender: Sender, status: Status, message: str) -> None:
    """Refuses a request; never raises, since a lost client must not end the caller's thread."""
    try:
        sender.refuse(status, message)
        sender.finish()
    except Exception:
        _log.exception("a client could not be told: %s", message)


def fail(sender: Sender, error: Exception) -> None:
    """Fails an accepted storyboard."""
    text = f"INTERNAL: {log_failure(_log, error)}"
    if told := _told(error):
        text = f"{told}; {text}"
    sender.send(Failed(panel=None, error=text, retryable=is_retryable(error)))


def is_retryable(error: Exception) -> bool:
    """True if another try may succeed: memory, the journal's disk, or the error itself says so."""
    if isinstance(error, MemoryError | sqlite3.OperationalError):
        return True
    return bool(getattr(error, "retryable", False))


def _told(error: Exception) -> str:
    """What the client may know of an error inside the server; "" for nothing."""
    match error:
        case ServedModelError():
            return error.told
        case MemoryError():
            return "there was no memory for it"
        case StoreError():
            return str(error)
        case sqlite3.OperationalError():
            return f"the journal cannot be written: {error}"
    return ""
