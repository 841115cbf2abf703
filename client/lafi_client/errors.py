"""Exceptions for everything that can go wrong between client and server.

Knows gRPC status codes and the messages of Triton Server, not storyboards.
Every exception has `retryable`: whether another try may succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import grpc

from lafi.wire.picture_names import unknown_names
from lafi.wire.pods import is_elsewhere

if TYPE_CHECKING:
    from lafi.wire.events import Failed, PanelImage

_RETRYABLE_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
_FORBIDDING_CODES = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_REFUSING_CODES = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})

# A streamed response of Triton Server has the text of an error but no status code, so the text
# decides. These texts mean "not now"; every other error counts as final.
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
    "connection reset",
    "stream removed",
    "socket closed",
    "shutting down",
    "try again later",
)
_STATUS_WORDS: dict[str, Callable[[str, str], LafiError]] = {
    "INVALID_ARGUMENT": lambda text, target: StoryboardRefused(text),
    "NOT_FOUND": lambda text, target: _not_found(text, target),
    "PERMISSION_DENIED": lambda text, target: NotAllowed(text),
    "UNAUTHENTICATED": lambda text, target: NotAllowed(text),
    "RESOURCE_EXHAUSTED": lambda text, target: ServerUnavailable(
        f"{target}: {text}", retryable=True
    ),
    "UNAVAILABLE": lambda text, target: _unavailable(text, target),
    "INTERNAL": lambda text, target: LafiError(f"{target}: the server failed: {text}"),
}
_TOO_LARGE_TEXT = "larger than max"
_TLS_TEXTS = ("handshake failed", "certificate")
"""No encrypted connection is made by trying again."""
_MISSING_TEXTS = ("unknown model", "is not found", "failed to find")


class LafiError(Exception):
    """Any failure to draw a storyboard. `retryable`: whether another try may succeed.

    Subclasses exist for the usual failures; a plain LafiError is a bug in the server.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class StoryboardRefused(LafiError):
    """The server read the storyboard and refused it; the message is the server's."""


class NotAllowed(StoryboardRefused):
    """The server wants a key, does not know this one, or it lacks the right that is named."""


class StoryboardUnknown(LafiError):
    """The server knows no storyboard with this id, or not any more."""


class PicturesUnknown(LafiError):
    """The server has no pictures of these names, or not any more: their bytes must be sent."""

    def __init__(self, message: str, names: frozenset[bytes]) -> None:
        super().__init__(message, retryable=True)
        self.names = names


class IdentityRefused(LafiError):
    """The server refused to enrol or identify this; the message is the server's."""


class ServerUnavailable(LafiError):
    """No server answers, it does not serve the model, or it was lost while drawing."""


class OwnerUnavailable(ServerUnavailable):
    """The server that has the storyboard cannot be asked; the one that says so can."""


class DrawTimeout(LafiError):
    """The whole drawing took too long, or the server was silent for too long."""


class PanelFailed(LafiError):
    """Some panels failed. `failures` says which and why; `panels` holds the others."""

    def __init__(self, failures: Sequence[Failed], panels: Sequence[PanelImage] = ()) -> None:
        lines = [f"panel {failed.panel}: {failed.error}" for failed in failures]
        super().__init__("\n".join(lines), retryable=any(failed.retryable for failed in failures))
        self.failures = tuple(failures)
        self.panels = tuple(panels)


def error_from_status(code: grpc.StatusCode, details: str | None, target: str) -> LafiError:
    """The exception for a gRPC status that ended a call to `target`."""
    text = (details or "").strip() or code.name
    if code in _REFUSING_CODES or _TOO_LARGE_TEXT in text:
        return StoryboardRefused(text)
    if code in _FORBIDDING_CODES:
        return NotAllowed(text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DrawTimeout(f"{target}: {text}")
    known = (*_MISSING_TEXTS, *_RETRYABLE_TEXTS)
    if code is grpc.StatusCode.NOT_FOUND and not _mentions(text, known):
        return StoryboardUnknown(text)
    if code is grpc.StatusCode.UNAVAILABLE and is_elsewhere(text):
        return _unavailable(text, target)
    retryable = code in _RETRYABLE_CODES or _mentions(text, _RETRYABLE_TEXTS)
    retryable = retryable and not _mentions(text, _TLS_TEXTS)
    return ServerUnavailable(f"{target}: {text}{_hint(text)}", retryable=retryable)


def error_from_text(text: str, target: str) -> LafiError:
    """The exception for an error message inside a stream, which has no status code.

    Messages of the storyboard model begin with the name of a status; messages of Triton Server
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


def _not_found(text: str, target: str) -> LafiError:
    """A model that the server does not serve, or pictures or a storyboard that it does not know."""
    if names := unknown_names(text):
        return PicturesUnknown(text, names)
    if _mentions(text, _MISSING_TEXTS):
        return ServerUnavailable(f"{target}: {text}")
    return StoryboardUnknown(text)


def _unavailable(text: str, target: str) -> LafiError:
    """Of the server that was asked, or of the one that has the storyboard."""
    kind = OwnerUnavailable if is_elsewhere(text) else ServerUnavailable
    return kind(f"{target}: {text}", retryable=True)


def _mentions(text: str, phrases: Sequence[str]) -> bool:
    lowered = text.lower()
    return any(phrase in lowered for phrase in phrases)


def _hint(text: str) -> str:
    """A hint for the most common mistakes."""
    if _mentions(text, _TLS_TEXTS):
        return (
            " (is --tls-ca the file of who signed the server's certificate, and does the server "
            "want a --tls-certificate?)"
        )
    if _mentions(text, ("http1", "http/1", "http2", "failed parsing")):
        return " (is this the HTTP port? gRPC is usually 8001)"
    if _mentions(text, ("failed to connect", "connection refused")):
        return " (start a server with `lafi serve`, or give its address with --url)"
    return ""
