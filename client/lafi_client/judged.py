"""`Judged`: the part of a drawing that a critic has, as `lafi draw` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from lafi.board.storyboard import Storyboard
from lafi.wire.identity import IDENTITY
from lafi_client.client import StoryboardClient
from lafi_client.critique_log import CritiqueLog
from lafi_client.critiquing import Critique, Critiquing
from lafi_client.drawing_folder import DrawingFolder
from lafi_client.errors import LafiError
from lafi_client.exit_codes import DRAWN, INTERRUPTED, NOT_JUDGED, SERVER_UNAVAILABLE, fail

NO_SCORES: Final = (
    "--critic identity: got a server without a recogniser, allowed: one whose model was exported "
    "with --recogniser"
)


@dataclass(frozen=True)
class Judged:
    """By whom panels are judged, which, and what was found before. asked: as it was written."""

    critique: Critique
    asked: Storyboard
    log: CritiqueLog
    numbers: Sequence[int]

    @classmethod
    def of(
        cls,
        critique: Critique,
        board: Storyboard,
        folder: Path,
        wanted: Sequence[int],
        overwrite: bool,
    ) -> Judged:
        """wanted: panels that are drawn again whatever is there, and judged alone; none: all."""
        log = CritiqueLog(folder, anew=None if overwrite and not wanted else wanted)
        return cls(critique, board, log, wanted or range(len(board.panels)))

    def run(
        self, client: StoryboardClient, folder: DrawingFolder, console: Console
    ) -> tuple[int, Storyboard, DrawingFolder]:
        """Judge what is drawn. The exit code, and storyboard and folder as they are now."""
        course = Critiquing(client, self.asked, folder, self.critique, self.log, console)
        return self._code(client, course, console), course.board, course.folder

    def _code(self, client: StoryboardClient, course: Critiquing, console: Console) -> int:
        if scoreless(client, self.critique):  # it was not ready before
            return fail(console, NOT_JUDGED, NO_SCORES)
        try:
            course.run(self.numbers)
        except LafiError as error:
            fail(console, SERVER_UNAVAILABLE, error)
            console.print("what was better is kept; run the same command again to go on")
            return SERVER_UNAVAILABLE
        except KeyboardInterrupt:
            return fail(console, INTERRUPTED, "interrupted; what was better is kept")
        return NOT_JUDGED if course.unjudged else DRAWN


def scoreless(client: StoryboardClient, critique: Critique | None) -> bool:
    """Whether the critic needs a recogniser, and a server is there that has none."""
    needs = critique is not None and critique.critic.needs_scores
    return needs and client.ready() and not client.serves(IDENTITY)
