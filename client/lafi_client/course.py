"""One storyboard on its way through several servers. Does no I/O."""

from __future__ import annotations

from typing import Generic, TypeVar

from lafi.wire.events import Accepted, Event
from lafi_client.attached import Attached, Pursuit
from lafi_client.errors import LafiError, OwnerUnavailable, StoryboardUnknown
from lafi_client.servers import Servers

S = TypeVar("S")


class Course(Generic[S]):
    """A pursuit, the server that is asked now, and which server knows which id."""

    def __init__(self, pursuit: Pursuit, servers: Servers[S]) -> None:
        self.pursuit = pursuit
        self.server = servers.next()
        self._servers = servers
        self._knows: dict[str, S] = {}
        self._not_asked = [each for each in servers.all if each is not self.server]

    def note(self, event: Event) -> None:
        """Take an event of this server's."""
        if isinstance(event, Accepted) and event.id:
            self._knows[event.id] = self.server

    def server_of(self, identifier: str) -> S:
        """The one that accepted it."""
        return self._knows.get(identifier, self.server)

    def delay_after(self, error: LafiError) -> float:
        """Seconds to wait before the next try, which may be at another server. Raises `error`."""
        if isinstance(error, StoryboardUnknown) and isinstance(self.pursuit, Attached):
            # Any of them may have accepted what this client knows the id of alone.
            if not self._not_asked:
                raise error
            self.server = self._not_asked.pop()
            return 0.0
        delay = self.pursuit.delay_after(error)
        if error.retryable:
            if not isinstance(error, OwnerUnavailable):
                self._servers.failed(self.server)
            self.server = self._servers.next()
        return delay
