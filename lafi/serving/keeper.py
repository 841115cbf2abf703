"""What must outlive this process of the storyboards in flight: journal, pins, and room for panels.

Knows ids, storyboards and where panels are kept, neither threads nor clients.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import numpy as np

from lafi.board import image_file
from lafi.board.checks import pictures_of
from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.image_file import DecodePicture
from lafi.board.storyboard import Storyboard
from lafi.drawing.shelf import Places
from lafi.serving.admission import RefusedError
from lafi.store.journal import Journal, JournalFullError, State, Unfinished
from lafi.store.panels import PanelStore
from lafi.store.pictures import PictureStore
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors
from lafi.wire.model_spec import REFERENCES, STORYBOARD, bytes_tensor
from lafi.wire.picture_names import NAMED_BYTES, picture_name

_log = logging.getLogger(__name__)


class Keeper:
    """Journals storyboards, and keeps their panels until they are acknowledged."""

    def __init__(
        self,
        journal: Journal,
        panels: PanelStore,
        places: Callable[[Storyboard], Places],
        pictures: PictureStore | None = None,
        decode_picture: DecodePicture = image_file.decode,
    ) -> None:
        """places: where what is finished of a storyboard is kept. pictures: that were sent."""
        self._pictures = pictures
        self._journal = journal
        self._panels = panels
        self._places = places
        self._decode_picture = decode_picture
        self._count = 0
        self._lock = threading.Lock()
        self._reserved: dict[str, list[int]] = {}
        """Bytes that each panel of a storyboard in flight may still take; portraits come last."""
        self._stuck: set[str] = set()
        """Storyboards that were begun again and have no new panel yet."""

    def take(
        self, identifier: str, storyboard: Storyboard, in_flight: Iterable[str], owner: str = ""
    ) -> None:
        """Keep a storyboard; durable when this returns. in_flight: ids of the others.

        owner: name of the key that sent it.

        Raises RefusedError where there is no room now, and StoryboardError where there never is.
        """
        places = self._places(storyboard)
        self._reserve(identifier, places)
        tensors = storyboard_to_tensors(storyboard)
        try:
            free = self._journal.add(
                identifier,
                tensors[STORYBOARD][0],
                tensors[REFERENCES].tolist(),
                [[place.address for place in several] for several in places.panels],
                [place.address for place in places.portraits],
                detach=storyboard.detach,
                in_flight=in_flight,
                owner=owner,
            )
        except (JournalFullError, sqlite3.Error, OSError) as error:
            self.release(identifier)
            why = str(error) if isinstance(error, JournalFullError) else type(error).__name__
            raise RefusedError(f"the storyboard could not be journalled: {why}") from error
        self._panels.acknowledge(free)
        self._panels.pin(places.all())
        self._keep_pictures(storyboard)

    @property
    def keeps_pictures(self) -> bool:
        """Whether what was sent may be named afterwards."""
        return self._pictures is not None

    def picture(self, name: bytes) -> bytes | None:
        """A picture that was sent before, by its name on the wire."""
        return None if self._pictures is None else self._pictures.find(_digits(name))

    def _keep_pictures(self, storyboard: Storyboard) -> None:
        if self._pictures is None:
            return
        with _logged():
            for data in {picture.data for _, picture in pictures_of(storyboard)}:
                if len(data) >= NAMED_BYTES:
                    self._pictures.put(_digits(picture_name(data)), data)

    def take_again(self, identifier: str, storyboard: Storyboard) -> None:
        """Go on with a storyboard that is journalled. Raises as `take`."""
        places = self._places(storyboard)
        self._reserve(identifier, places)
        self._panels.pin(places.all())

    def sent(self, identifier: str, panel: int, *, drawn: bool) -> None:
        """A panel is finished, and among those that must stay. drawn: and was not before."""
        with self._lock:
            if identifier in self._reserved:
                self._reserved[identifier][panel] = 0
            progress = drawn and identifier in self._stuck
            if progress:
                self._stuck.discard(identifier)
        if progress:
            with _logged():
                self._journal.live(identifier, 0)

    def release(self, identifier: str, state: State | None = None) -> None:
        """A storyboard is drawn no further. state: what became of it, if it is journalled."""
        with self._lock:
            self._reserved.pop(identifier, None)
        if state is not None:
            with _logged():
                self._panels.acknowledge(self._journal.end(identifier, state))

    def storyboard(self, identifier: str) -> Storyboard | None:
        """A journalled storyboard, to be drawn on; None for an id that is not known.

        Its deadline was for the first time, and previews and latents of stages would have every
        panel drawn again.
        """
        found = self._journal.request(identifier)
        if found is None:
            return None
        document, pictures = found
        references = np.array(bytes_tensor(*pictures))
        decode = self._decode_picture
        board = storyboard_from_tensors(bytes_tensor(document), references, decode=decode)
        changes = {"deadline_seconds": None, "keep_stages": False, "stage_previews": False}
        return board.model_copy(update=changes)

    def owner(self, identifier: str) -> str | None:
        """Name of the key that sent it, "": none; None for an id that is not known."""
        return self._journal.owner(identifier)

    def has(self, identifier: str) -> bool:
        """Whether the storyboard is journalled; true, too, while that cannot be read."""
        with _logged():
            return self._journal.has(identifier)
        return True

    def forget(self, identifier: str) -> bool:
        """Let a storyboard go, whether or not its panels were acknowledged; whether it was known.

        Its panels stay as others' do: they may go when there is no room.
        """
        known = self._journal.has(identifier)
        self._panels.acknowledge(self._journal.remove([identifier]))
        return known

    def acknowledge(self, identifier: str, panels: Iterable[int], *, in_flight: bool) -> int | None:
        """The client holds these panels. How many are left; None for an id that is not known."""
        answer = self._journal.acknowledge(identifier, panels, in_flight=in_flight)
        if answer is None:
            return None
        free, left = answer
        self._panels.acknowledge(free)
        return left

    def unfinished(self) -> list[Unfinished]:
        """Detached storyboards that are not done; lets go what is older than the retention."""
        self._panels.acknowledge(self._journal.expire())
        return self._journal.unfinished()

    def count(self) -> int:
        """Storyboards in the journal, as it was last read."""
        with suppress(sqlite3.Error):  # asked too often to be logged
            self._count = self._journal.count()
        return self._count

    def live(self, identifier: str, lives: int) -> None:
        """Note in how many servers' lives a storyboard was begun without a new panel."""
        with self._lock:
            self._stuck.add(identifier)
        self._journal.live(identifier, lives)

    def fail(self, identifier: str) -> None:
        """Draw it no more by itself."""
        self._journal.end(identifier, "failed")

    def close(self) -> None:
        """Let the files go."""
        self._journal.close()
        self._panels.close()

    def _reserve(self, identifier: str, places: Places) -> None:
        wanted, most = places.all(), self._panels.max_bytes
        whole = sum(wanted.values())
        if whole > most:
            allowed = f"at most {most}, which is all that this server keeps (--store-mib)"
            raise StoryboardError([problem("panels", Verbatim(f"up to {whole} bytes"), allowed)])
        more = self._panels.missing_room(wanted)
        pinned = self._panels.stats().pinned_bytes
        with self._lock:
            reserved = sum(map(sum, self._reserved.values()))
            if pinned + reserved + more > most:
                raise RefusedError(
                    f"the store may hold {most} bytes; panels that were not acknowledged take "
                    f"{pinned}, storyboards in flight up to {reserved}, and this one up to {more}; "
                    "acknowledge panels, or try again later"
                )
            self._reserved[identifier] = self._room(places)

    def _room(self, places: Places) -> list[int]:
        several = [*places.panels, places.portraits]
        return [self._panels.missing_room(dict(each)) for each in several]


def _digits(name: bytes) -> str:
    return name.decode().partition(":")[2]


@contextmanager
def _logged() -> Iterator[None]:
    """A journal that fails must not end a drawing: its panels are safe, and the log says so."""
    try:
        yield
    except (sqlite3.Error, OSError):
        _log.exception("the journal could not be kept up to date")
