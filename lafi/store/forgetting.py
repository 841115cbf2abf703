"""Erases what a server has kept of a character's pictures: panels, storyboards, sent files.

Any process of the server may do it: the one that draws notices that a storyboard is no longer
journalled, and stops.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from lafi.store.settings import journal_of, sent_pictures_of, store_of

_log = logging.getLogger(__name__)


def forget_pictures(environment: Mapping[str, str], state: Path, pictures: Sequence[str]) -> None:
    """Erase everything that was made of these pictures.

    environment, state: as of `lafi.store.settings`. pictures: SHA-256 of their files. Raises
    OSError and sqlite3.Error where something could not be erased.
    """
    if not pictures:
        return
    journal = journal_of(environment, state)
    if journal is not None:
        with closing(journal):
            for picture in pictures:
                journal.remove(journal.with_picture(picture))
    sent = sent_pictures_of(environment, state)
    if sent is not None:
        for picture in pictures:
            sent.forget(picture)
    panels = store_of(environment, state)
    if panels is not None:
        with closing(panels):
            erased = sum(panels.forget(picture) for picture in pictures)
        _log.warning("a character was forgotten, and %d kept panels of it erased", erased)
