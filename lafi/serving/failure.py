"""Logs an error inside a model under a number, which is all that the client is told."""

from __future__ import annotations

import logging

from lafi.wire.failure import inside_error, new_request_id


def log_failure(log: logging.Logger, error: Exception, request: str = "") -> str:
    """Logs the error with its traceback; returns the text for the client, which names `request`.

    request: the id under which the log has it; default: a new one.
    """
    request = request or new_request_id()
    log.error("request %s failed: %s", request, error, exc_info=error)
    return inside_error(request)
