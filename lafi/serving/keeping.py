"""Builds what a server keeps of storyboards, from its environment: journal, keeper, resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lafi.board import image_file
from lafi.board.image_file import DecodePicture
from lafi.board.storyboard import Storyboard
from lafi.drawing.shelf import Places
from lafi.drawing.studio import Studio
from lafi.serving.admission import Admission
from lafi.serving.keeper import Keeper
from lafi.serving.resuming import Resuming
from lafi.serving.service import StoryboardService
from lafi.store.panels import PanelStore
from lafi.store.settings import journal_of, sent_pictures_of
from lafi.wire.pods import own_pod


class Keeping:
    """The keeper of a server and what goes on by itself; both None where nothing is kept."""

    def __init__(
        self,
        environment: Mapping[str, str],
        state: Path,
        panels: PanelStore | None,
        places: Callable[[Storyboard], Places],
        decode_picture: DecodePicture = image_file.decode,
    ) -> None:
        """state: the server's own folder. Raises ValueError, OSError and sqlite3.Error."""
        self._pod = own_pod(environment)
        journal = journal_of(environment, state)
        self.keeper: Keeper | None = None
        self._resuming: Resuming | None = None
        if journal is not None and panels is not None:
            pictures = sent_pictures_of(environment, state)
            self.keeper = Keeper(journal, panels, places, pictures, decode_picture)

    def service(
        self, studio: Studio, admission: Admission, stop_asked: Callable[[], bool]
    ) -> StoryboardService:
        """What admits and draws storyboards, and gives them ids that say whose they are."""
        return StoryboardService(
            studio.draw,
            admission,
            cost=studio.cost,
            keeper=self.keeper,
            pod=self._pod,
            stop_asked=stop_asked,
        )

    def resume(self, service: StoryboardService, is_ready: Callable[[], bool]) -> None:
        """Go on with detached storyboards of earlier lives once everything is ready."""
        if self.keeper is not None:
            self._resuming = Resuming(service, self.keeper, is_ready)

    def count(self) -> int:
        """Storyboards in the journal, 0 where there is none."""
        return 0 if self.keeper is None else self.keeper.count()

    def stop(self) -> None:
        """Begin nothing more by itself."""
        if self._resuming is not None:
            self._resuming.close()

    def close(self) -> None:
        """Let the files go."""
        if self.keeper is not None:
            self.keeper.close()
