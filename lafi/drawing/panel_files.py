"""The PNG file of a finished panel: enlarged where it is to be, and kept before it is sent.

Knows pixels and where they are kept, not how they were drawn.
"""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait

from lafi.board.letterbox import Pixels
from lafi.board.storyboard import Storyboard
from lafi.denoising.loop import HEARTBEAT_SECONDS
from lafi.drawing import images
from lafi.drawing.attempts import Drawn
from lafi.drawing.enlarge import enlarged
from lafi.drawing.shelf import Shelf
from lafi.ports.engines import Engines
from lafi.store.record import Record
from lafi.wire.events import Event, Waiting


class PanelFiles:
    """Makes the files of one storyboard's panels."""

    def __init__(self, storyboard: Storyboard, engines: Engines, shelf: Shelf) -> None:
        """engines: of the storyboard's variant."""
        self._storyboard = storyboard
        self._engines = engines
        self._shelf = shelf

    def make(
        self, index: int, best: Drawn, attempts: int, record: Record | None
    ) -> Generator[Event, None, bytes]:
        """Panel `index` as a PNG file without text; durable where panels are kept.

        record: of the drawing, if it was drawn before. Raises `lafi.store.panels.StoreError`.
        """
        drawing = images.encode_png(best.pixels) if record is None else record.png
        if record is None:
            self._shelf.keep(index, best, attempts, drawing)
        factor = self._storyboard.effective_upscale(self._storyboard.panels[index])
        if factor == 1:
            return drawing
        if (kept := self._shelf.enlarged(index)) is not None:
            return kept
        large = images.encode_png((yield from self._enlarged(best.pixels, factor)))
        self._shelf.keep_enlarged(index, best, attempts, large)
        return large

    def _enlarged(self, pixels: Pixels, factor: int) -> Generator[Event, None, Pixels]:
        """To enlarge a large panel takes minutes on a CPU, in which `waiting` tells the client that
        the server is alive."""
        with ThreadPoolExecutor(1) as thread:
            made = thread.submit(enlarged, pixels, factor, self._engines.upscaler)
            while not made.done():
                wait([made], timeout=HEARTBEAT_SECONDS)
                if not made.done():
                    yield Waiting(pictures=1)
        return made.result()
