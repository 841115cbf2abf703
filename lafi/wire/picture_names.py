"""Names under which a server knows pictures that were sent to it before.

Imports neither torch nor a server.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final

NAMED_BYTES: Final = 2**16
"""Smaller pictures are sent each time: a name that is not known any more costs a call."""
_BEGINNING: Final = b"picture:"
_NAME: Final = re.compile(_BEGINNING + rb"[0-9a-f]{64}")
_SALT: Final = b"lafi picture\n"
FindPicture = Callable[[bytes], bytes | None]
"""A name -> the picture's file; None for one that is not known."""
NamePicture = Callable[[bytes], bytes | None]
"""A picture's file -> its name, where that is to be sent in its place."""


class UnknownPicturesError(LookupError):
    """Pictures were named that the server does not have, or not any more."""

    def __init__(self, names: Iterable[bytes]) -> None:
        """names: of `picture_name`."""
        listed = ", ".join(name.decode() for name in names)
        super().__init__(f"pictures: got {listed}, not kept here (any more); send their bytes")


def picture_name(data: bytes) -> bytes:
    """`picture:` and 64 hexadecimal digits: SHA-256 of "lafi picture", a line break and the file.

    Not the plain SHA-256, which stands in the settings of panels: a server draws from a picture for
    whoever names it, so only who has the file may know its name.
    """
    return _BEGINNING + hashlib.sha256(_SALT + data).hexdigest().encode()


def is_picture_name(element: bytes) -> bool:
    """Whether an element of REFERENCES is a name; no picture and no latents are one."""
    return _NAME.fullmatch(element) is not None


def unknown_names(text: str) -> frozenset[bytes]:
    """The names in the text of an `UnknownPicturesError`; none in any other text."""
    if not text.startswith("pictures: got "):
        return frozenset()
    return frozenset(_NAME.findall(text.encode()))
