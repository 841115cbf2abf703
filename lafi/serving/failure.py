"""What a client is told of an error inside the server: a number to ask for, nothing of our insides.

An exception's text may hold absolute paths, or another client's words. It goes to the log only.
"""

from __future__ import annotations

import logging
import re
from uuid import uuid4

_PATH = re.compile(r"(?<![\w./])/(?:[^\s/'\",:()]+/)+[^\s/'\",:()]*")


def log_failure(log: logging.Logger, error: Exception, request: str = "") -> str:
    """Logs the error with its traceback; returns the text for the client, which names `request`.

    request: the id under which the log has it; default: a new one.
    """
    request = request or new_request_id()
    log.error("request %s failed: %s", request, error, exc_info=error)
    return f"an error inside the server (request {request}); its log says more"


def without_paths(text: str) -> str:
    """The text without absolute paths of this machine."""
    return _PATH.sub("(a file)", text)


def new_request_id() -> str:
    """12 hexadecimal digits."""
    return uuid4().hex[:12]
