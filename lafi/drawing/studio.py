"""All that draws in one process: engines of each variant, and a loop that their storyboards share.

Knows storyboards and engines, neither requests nor Triton Server.
"""

import threading
from collections.abc import Callable, Iterator, Mapping

from lafi.board.storyboard import Storyboard
from lafi.denoising.bank import Bank
from lafi.denoising.loop import SharedDenoising
from lafi.drawing.pipeline import MAX_ROWS, draw, make_batcher
from lafi.ports.engines import Engines
from lafi.wire.events import Event, PanelImage

BANK_BYTES = 512 * 2**20
"""Two to eight characters of SDXL at 1024 px, thousands of the bundled model's."""


class Studio:
    """Draws many storyboards at a time, each from a thread of its caller's.

    Variants have weights of their own and never share a denoiser call: each has its own loop.
    """

    def __init__(
        self,
        engines: Mapping[str, Engines],
        *,
        max_rows: int = MAX_ROWS,
        bank_bytes: int = BANK_BYTES,
    ) -> None:
        """engines: by the name of the variant, "" is the model itself. max_rows: of one call.

        bank_bytes: of references at a fixed level that are kept from one storyboard to the next.
        Counted since the start: `scored`, panels sent with scores, and `retries`, drawings of
        panels beyond the first.
        """
        self._engines = dict(engines)
        self.bank = Bank(bank_bytes)
        self.batchers = {
            name: make_batcher(each, max_rows, self.bank) for name, each in engines.items()
        }
        self._counting = threading.Lock()
        self.scored = 0
        self.retries = 0
        self._denoising = SharedDenoising(self.batchers)

    @property
    def steps(self) -> int:
        """Denoiser calls and steps without one, so far: rises as long as there is work."""
        counts = [batcher.counts for batcher in self.batchers.values()]
        return sum(count.calls + count.reused_steps for count in counts)

    def draw(self, storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """As `lafi.drawing.pipeline.draw`, with all storyboards of the same variant in one loop."""
        events = draw(storyboard, self._engines, cancelled=cancelled, denoising=self._denoising)
        return self._counted(events)

    def _counted(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, PanelImage):
                with self._counting:
                    self.scored += bool(event.scores)
                    self.retries += event.attempts - 1
            yield event

    def close(self) -> None:
        """Ends the loops; a storyboard that is being drawn fails."""
        self._denoising.close()
