"""Where a server keeps finished panels and accepted storyboards: environment variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lafi.store.journal import JOURNAL_FILE, Journal
from lafi.store.panels import RETENTION_SECONDS, STORE_BYTES, PanelStore, open_store
from lafi.store.pictures import PictureStore

STORE: Final = "LAFI_STORE"
"""A folder or URL; `state`: beside the enrolments; empty or not set: nothing is kept."""
STORE_MEGABYTES: Final = "LAFI_STORE_MEGABYTES"
"""The most that is kept, MiB."""
RETENTION_DAYS: Final = "LAFI_RETENTION_DAYS"
"""How long a panel that nobody asks for, and an accepted storyboard, are kept."""
BESIDE_STATE: Final = "state"


def store_of(environment: Mapping[str, str], state: Path) -> PanelStore | None:
    """The store that the environment names, or None.

    state: a folder of this server's own. Raises ValueError, OSError and sqlite3.Error.
    """
    url = environment.get(STORE, "")
    if not url:
        return None
    mebibytes = _number(environment, STORE_MEGABYTES, STORE_BYTES // 2**20)
    place = str(state / "panels") if url == BESIDE_STATE else url
    retention = _retention(environment)
    return open_store(place, state, max_bytes=mebibytes * 2**20, retention=retention)


def journal_of(environment: Mapping[str, str], state: Path) -> Journal | None:
    """The journal, in a folder of its own below `state`; None where no panels are kept.

    Raises ValueError, OSError and sqlite3.Error.
    """
    if not environment.get(STORE):
        return None
    return Journal(state / "journal" / JOURNAL_FILE, retention=_retention(environment))


def sent_pictures_of(environment: Mapping[str, str], state: Path) -> PictureStore | None:
    """Sent pictures, in a folder of their own below `state`; None where no panels are kept.

    Raises ValueError and OSError.
    """
    if not environment.get(STORE):
        return None
    return PictureStore(state / "pictures", retention=_retention(environment))


def _retention(environment: Mapping[str, str]) -> float:
    return 86400.0 * _number(environment, RETENTION_DAYS, round(RETENTION_SECONDS / 86400))


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{name}: got {text!r}, allowed: a whole number, 1 or more")
    return int(text)
