"""Who is drawing what right now, so that a panel asked for twice at once is drawn once.

Knows addresses, not what is drawn.
"""

import threading
from collections.abc import Iterable


class Claims:
    """Addresses that are being drawn, each by one drawer; every method may be called by any thread.

    A drawer that waits for others' addresses must hold none, so that no two wait for each other.
    """

    def __init__(self) -> None:
        self._owners: dict[str, object] = {}
        self._changed = threading.Condition()

    def claim(self, addresses: Iterable[str], owner: object) -> set[str]:
        """Those of the addresses that nobody else is drawing: `owner` draws them from now on."""
        with self._changed:
            return {a for a in addresses if self._owners.setdefault(a, owner) is owner}

    def release(self, addresses: Iterable[str], owner: object) -> None:
        """These are drawn, or will not be; only those that are `owner`'s count."""
        with self._changed:
            for address in addresses:
                if self._owners.get(address) is owner:
                    del self._owners[address]
            self._changed.notify_all()

    def wait(self, addresses: Iterable[str], timeout: float) -> bool:
        """Whether any of the addresses is free, after at most `timeout` seconds."""
        wanted = [*addresses]
        with self._changed:
            return self._changed.wait_for(
                lambda: any(address not in self._owners for address in wanted), timeout
            )
