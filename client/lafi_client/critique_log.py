"""`CritiqueLog`: what a critic said of every version of a panel, beside the drawing.

`critique.json` holds it, and `critique/` the pictures of all versions. A later call goes on from
there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from lafi.board.critique import with_panel
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi_client.drawing_folder import panel_settings, sha256_of, write_whole

LOG: Final = "critique.json"
FOLDER: Final = "critique"
CHOSEN_ALREADY: Final = "it has the chosen prompt and seed already"


@dataclass(frozen=True, slots=True)
class Version:
    """One drawing of a panel.

    reasons  why it was drawn: the faults of version `before`, or that it is a candidate
    before   the version that it is a change of; None for the first one
    score    None: there was nothing to judge
    """

    file: str
    prompt: str
    seed: int
    score: float | None
    faults: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    before: int | None = None
    address: str = ""

    @property
    def level(self) -> float:
        """The score as a number."""
        return math.inf if self.score is None else self.score


@dataclass(slots=True)
class PanelLog:
    """asked: SHA-256 of the panel as the storyboard has it. kept: the version that is shown.

    sha256: of the shown file. settled: critic and numbers of drawings for which nothing is left.
    """

    asked: str
    versions: list[Version] = field(default_factory=list)
    kept: int = 0
    sha256: str = ""
    settled: str = ""

    @property
    def shown(self) -> Version:
        """The version that stays."""
        return self.versions[self.kept]


class CritiqueLog:
    """Of one folder of panels. Each change is written at once."""

    def __init__(self, folder: Path, *, anew: Iterable[int] | None = ()) -> None:
        """anew: panels of which nothing is taken from before; None: all."""
        self._path = folder / LOG
        self.left_out: dict[int, str] = {}
        """Panels that `shown` left out, and why."""
        self.panels = {} if anew is None else _read(self._path)
        for number in anew or ():
            self.panels.pop(number, None)

    def shown(self, board: Storyboard) -> Storyboard:
        """The storyboard with the versions that stayed, where the panel is still as it was.

        The other panels are in `left_out` afterwards, and no longer in `panels`.
        """
        for number, log in list(self.panels.items()):
            if why := _unlike(board, number, log):
                self._leave_out(number, why)
                continue
            try:
                board = with_panel(board, number, log.shown.prompt, log.shown.seed)
            except StoryboardError as error:  # a file that somebody changed
                self._leave_out(number, f"what was chosen does not fit: {error}")
        return board

    def _leave_out(self, number: int, why: str) -> None:
        self.left_out[number] = why
        del self.panels[number]

    def settled(self, number: int, picture: bytes, critic: str) -> bool:
        """Whether this critic has judged this very picture, and nothing is left to try."""
        log = self.panels.get(number)
        return log is not None and log.settled == critic and log.sha256 == sha256_of(picture)

    def write(self, critic: str) -> None:
        """Write it whole."""
        panels = {str(number): asdict(log) for number, log in sorted(self.panels.items())}
        text = json.dumps({"critic": critic, "panels": panels}, indent=1, ensure_ascii=False)
        write_whole(self._path, text.encode())


def version_file(number: int, version: int) -> str:
    """`critique/panel_03_1.png` for version 1 of panel 3."""
    return f"{FOLDER}/panel_{number:02d}_{version}.png"


def _unlike(board: Storyboard, number: int, log: PanelLog) -> str:
    """Why a panel is not the one that was judged; "": it is."""
    if number >= len(board.panels):
        return "the storyboard has no such panel"
    if log.asked == panel_settings(board, number):
        return ""
    panel = board.panels[number]
    if (panel.prompt, panel.seed) == (log.shown.prompt, log.shown.seed):
        return CHOSEN_ALREADY
    return "the panel or its settings are not those that were judged"


def _read(path: Path) -> dict[int, PanelLog]:
    """The panels by number; none if the file is missing or not one of ours."""
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["panels"]
        panels = {int(number): _panel(entry) for number, entry in found.items()}
        return {n: log for n, log in panels.items() if 0 <= log.kept < len(log.versions)}
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _panel(entry: dict[str, Any]) -> PanelLog:
    versions = [
        Version(**{**each, "faults": tuple(each["faults"]), "reasons": tuple(each["reasons"])})
        for each in entry["versions"]
    ]
    return PanelLog(**{**entry, "versions": versions})
