"""What can go wrong between a client and the server, as exceptions.

Knows gRPC status codes and the messages of Triton Server; knows no storyboards.
Every exception carries `retryable`: whether asking again can help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from lafi.wire.events import Failed, PanelImage

_RETRYABLE_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
_REFUSING_CODES = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})

# A streamed response of Triton Server carries the text of an error without its code, so the
# text decides. These are its own words for "not now"; anything else is taken as final.
_RETRYABLE_TEXTS = (
    "no available versions",
    "server not ready",
    "server is not ready",
    "is not ready",
    "unavailable",
    "exceeds maximum queue size",
    "stub process",
    "failed to connect",
    "connection refused",
    "shutting down",
    "try again later",
)
_STATUS_WORDS: dict[str, Callable[[str, str], LafiError]] = {
    "INVALID_ARGUMENT": lambda text, target: StoryboardRefused(text),
    "UNAVAILABLE": lambda text, target: ServerUnavailable(f"{target}: {text}", retryable=True),
    "INTERNAL": lambda text, target: LafiError(f"{target}: the server failed: {text}"),
}
_MISSING_TEXTS = ("unknown model", "is not found", "failed to find")


class LafiError(Exception):
    """Any failure to draw a storyboard. `retryable` says whether asking again can help.

    The subclasses name the usual ones; where none fits, the fault is the server's own.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class StoryboardRefused(LafiError):
    """The server read the storyboard and will not draw it; the message is the server's."""


class IdentityRefused(LafiError):
    """The server will not enrol or identify this; the message is the server's."""


class ServerUnavailable(LafiError):
    """No server answers there, it does not serve the model, or it went away while drawing."""


class DrawTimeout(LafiError):
    """The whole drawing took too long, or the server stayed silent for too long."""


class PanelFailed(LafiError):
    """Some panels could not be drawn. `failures` says which and why; `panels` holds the rest."""

    def __init__(self, failures: Sequence[Failed], panels: Sequence[PanelImage] = ()) -> None:
        lines = [f"panel {failed.panel}: {failed.error}" for failed in failures]
        super().__init__("\n".join(lines), retryable=any(failed.retryable for failed in failures))
        self.failures = tuple(failures)
        self.panels = tuple(panels)


def error_from_status(code: grpc.StatusCode, details: str | None, target: str) -> LafiError:
    """The exception for a gRPC status that ended a call to `target`."""
    text = (details or "").strip() or code.name
    if code in _REFUSING_CODES:
        return StoryboardRefused(text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DrawTimeout(f"{target}: {text}")
    retryable = code in _RETRYABLE_CODES or _mentions(text, _RETRYABLE_TEXTS)
    return ServerUnavailable(f"{target}: {text}{_hint(text)}", retryable=retryable)


def error_from_text(text: str, target: str) -> LafiError:
    """The exception for an error message inside a stream, which comes without a status code.

    Messages of the storyboard model begin with a status in words, those of Triton Server
    itself do not.
    """
    status, separator, rest = text.partition(": ")
    if separator and status in _STATUS_WORDS:
        return _STATUS_WORDS[status](rest, target)
    if _mentions(text, _RETRYABLE_TEXTS):
        return ServerUnavailable(f"{target}: {text}", retryable=True)
    if _mentions(text, _MISSING_TEXTS):
        return ServerUnavailable(f"{target}: {text}")
    return StoryboardRefused(text)


def _mentions(text: str, phrases: Sequence[str]) -> bool:
    lowered = text.lower()
    return any(phrase in lowered for phrase in phrases)


def _hint(text: str) -> str:
    """What to do about the two mistakes everybody makes once."""
    if _mentions(text, ("http1", "http/1", "http2", "failed parsing")):
        return " (is this the HTTP port? gRPC is usually 8001)"
    if _mentions(text, ("failed to connect", "connection refused")):
        return " (start a server with `lafi serve`, or give its address with --url)"
    return ""
