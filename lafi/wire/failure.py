"""What a client is told of an error inside the server: a number to ask for, nothing of our insides.

An exception's text may hold absolute paths, or another client's words. It goes to the log only.
"""

import re
from typing import Final
from uuid import uuid4

_PATH: Final = re.compile(r"(?<![\w./])/(?:[^\s/'\",:()]+/)+[^\s/'\",:()]*")
_TOLD: Final = re.compile(r"an error inside the server \(request [0-9a-f]{12}\); its log says more")


def inside_error(request: str) -> str:
    """The text for the client. request: the number under which the log has the rest."""
    return f"an error inside the server (request {request}); its log says more"


def tells_nothing(text: str) -> bool:
    """Whether a text is that of `inside_error`, and nothing else."""
    return _TOLD.fullmatch(text) is not None


def without_paths(text: str) -> str:
    """The text without absolute paths of this machine."""
    return _PATH.sub("(a file)", text)


def new_request_id() -> str:
    """12 hexadecimal digits."""
    return uuid4().hex[:12]
