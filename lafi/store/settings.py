"""Where a server keeps finished panels, as its processes are told: two environment variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lafi.store.panels import STORE_BYTES, PanelStore, open_store

STORE: Final = "LAFI_STORE"
"""A folder or URL; `state`: beside the enrolments; empty or not set: nothing is kept."""
STORE_MEGABYTES: Final = "LAFI_STORE_MEGABYTES"
"""The most that is kept, MiB."""
BESIDE_STATE: Final = "state"


def store_of(environment: Mapping[str, str], state: Path) -> PanelStore | None:
    """The store that the environment names, or None.

    state: a folder of this server's own. Raises ValueError, OSError and sqlite3.Error.
    """
    url = environment.get(STORE, "")
    if not url:
        return None
    text = environment.get(STORE_MEGABYTES, str(STORE_BYTES // 2**20))
    if not text.isdecimal() or not int(text):
        raise ValueError(f"{STORE_MEGABYTES}: got {text!r}, allowed: a whole number, 1 or more")
    place = str(state / "panels") if url == BESIDE_STATE else url
    return open_store(place, state, max_bytes=int(text) * 2**20)
