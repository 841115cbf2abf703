"""Names of servers behind one address, and ids that say which of them has a storyboard.

A pod is called as a StatefulSet calls it: a stem, which all of a set share, and an ordinal, such as
`lafi-main-3`. Its ids end with five digits that stand for the stem and three with the ordinal. So
they stay 32 hexadecimal digits, as clients know them; and whatever a client sends as an id, a
server reads nothing from it but a number below 4096. Imports neither torch nor a server.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

POD: Final = "LAFI_POD"
"""Environment variable for the served models: the name of this pod."""
MAX_NAME: Final = 63
"""Letters of a name, since it is a label of a domain name."""
MAX_PODS: Final = 4096
_RANDOM_BYTES: Final = 16
_NAMED_RANDOM_BYTES: Final = 12
_MARK_DIGITS: Final = 5
_ORDINAL_DIGITS: Final = 3
_NAME: Final = re.compile(r"(?P<stem>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<ordinal>0|[1-9][0-9]*)")
_IDENTIFIER: Final = re.compile("[0-9a-f]{32}")
_ELSEWHERE: Final = re.compile(r"id: [0-9a-f]{32} is of the server [a-z0-9-]+, which ")


@dataclass(frozen=True, slots=True)
class Pod:
    """stem: as in `lafi-main`. ordinal: 0 to 4095."""

    stem: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.stem}-{self.ordinal}"

    def new_identifier(self) -> str:
        """For a storyboard of this pod: 96 random bits, the stem's mark, the ordinal."""
        return f"{secrets.token_hex(_NAMED_RANDOM_BYTES)}{self._mark}{self.ordinal:03x}"

    def owner(self, identifier: str) -> "Pod | None":
        """The pod of this set that gave the id out; None for any other text.

        One in a million ids of servers without a name looks as if it were of some pod.
        """
        if _IDENTIFIER.fullmatch(identifier) is None:
            return None
        mark = identifier[-_MARK_DIGITS - _ORDINAL_DIGITS : -_ORDINAL_DIGITS]
        if mark != self._mark:
            return None
        return Pod(self.stem, int(identifier[-_ORDINAL_DIGITS:], 16))

    @property
    def _mark(self) -> str:
        return hashlib.sha256(f"lafi pod\n{self.stem}".encode()).hexdigest()[:_MARK_DIGITS]


def pod_of(name: str) -> Pod:
    """The pod with this name. Raises ValueError, which says what is allowed."""
    match = _NAME.fullmatch(name)
    if match is None or len(name) > MAX_NAME or int(match["ordinal"]) >= MAX_PODS:
        raise ValueError(
            f"got {name[: 2 * MAX_NAME]!r}, allowed: small letters, digits and dashes, then a dash "
            f"and a number below {MAX_PODS}, at most {MAX_NAME} letters, such as lafi-main-0"
        )
    return Pod(match["stem"], int(match["ordinal"]))


def own_pod(environment: Mapping[str, str]) -> Pod | None:
    """The pod that the environment names; None for a server that is alone. Raises ValueError."""
    name = environment.get(POD, "")
    return pod_of(name) if name else None


def new_identifier(pod: Pod | None) -> str:
    """32 hexadecimal digits, all of them random for a server without a name."""
    return pod.new_identifier() if pod else secrets.token_hex(_RANDOM_BYTES)


def elsewhere(identifier: str, owner: Pod, why: str) -> str:
    """What a client is told whose storyboard another pod has, which cannot be asked.

    why: a clause about that pod.
    """
    return (
        f"id: {identifier} is of the server {owner}, which {why}; try again later, or send the "
        "storyboard again"
    )


def is_elsewhere(text: str) -> bool:
    """Whether a text is that of `elsewhere`."""
    return _ELSEWHERE.match(text) is not None
