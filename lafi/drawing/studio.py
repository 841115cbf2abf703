"""All that draws in one process: engines of each variant, and a loop that their storyboards share.

Knows storyboards and engines, neither requests nor Triton Server.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lafi.board.cost import Cost, storyboard_cost
from lafi.board.default_recipe import SETTING, DefaultRecipe
from lafi.board.error import StoryboardError
from lafi.board.safety_words import Safety
from lafi.board.storyboard import Panel, Storyboard
from lafi.denoising.bank import Bank
from lafi.denoising.loop import SharedDenoising
from lafi.drawing.check import check_drawable
from lafi.drawing.outcomes import Outcomes
from lafi.drawing.picture_safety import PictureSafety
from lafi.drawing.pipeline import MAX_ROWS, draw, make_batcher
from lafi.drawing.plan import at_own_size
from lafi.drawing.shelf import Archive, Places, Shelf
from lafi.ports.engines import Engines
from lafi.store.claims import Claims
from lafi.store.leases import Leases
from lafi.store.panels import PanelStore
from lafi.wire.events import Event

BANK_BYTES = 512 * 2**20
"""Two to eight characters of SDXL at 1024 px, thousands of the bundled model's."""

_NO_SAFETY = Safety()
_TRIAL_SIDE = 256
"""Pixels, about, of the panel with which a default recipe is tried where it names no size."""


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
        panels: PanelStore | None = None,
        default_recipe: DefaultRecipe | None = None,
        safety: Safety = _NO_SAFETY,
    ) -> None:
        """engines: by the name of the variant, "" is the model itself. max_rows: of one call.

        bank_bytes: of references at a fixed level that are kept from one storyboard to the next.
        panels: where finished panels are kept, and found again; None: nowhere.
        default_recipe: sets what storyboards leave unset. Raises StoryboardError for one that the
        model cannot draw.
        safety: what is done about words in prompts, and about pictures where there is a classifier.
        `outcomes` counts what became of panels since the start.
        """
        self._engines = dict(engines)
        self._default_recipe = default_recipe
        self._safety = safety
        self._pictures = PictureSafety(safety.setting, engines[""].classifier)
        if default_recipe is not None:
            _check_recipe(default_recipe, self._engines)
        self.bank = Bank(bank_bytes)
        self.batchers = {
            name: make_batcher(each, max_rows, self.bank) for name, each in engines.items()
        }
        self.outcomes = Outcomes()
        self._leases = None if panels is None else Leases(panels.place)
        self._archive = None if panels is None else Archive(panels, Claims(), self._leases)
        self._denoising = SharedDenoising(self.batchers)

    @property
    def steps(self) -> int:
        """Denoiser calls and steps without one, so far: rises as long as there is work."""
        counts = [batcher.counts for batcher in self.batchers.values()]
        return sum(count.calls + count.reused_steps for count in counts)

    def draw(self, storyboard: Storyboard, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """As `lafi.drawing.pipeline.draw`, with all storyboards of the same variant in one loop.

        Its words are looked at first, and its pictures before they are sent, also where every panel
        is found in the store.
        """
        filled, said = self._filled(storyboard)
        said = (*self._safety.check(filled), *said)
        self._pictures.check(filled)
        events = draw(
            filled,
            self._engines,
            cancelled=cancelled,
            denoising=self._denoising,
            archive=self._archive,
            said=said,
        )
        return self.outcomes.watch(
            self._pictures.watch(filled, events), storyboard.deadline_seconds
        )

    def cost(self, storyboard: Storyboard) -> Cost:
        """What it takes to draw, with the default recipe's settings."""
        return storyboard_cost(self._filled(storyboard)[0])

    def places(self, storyboard: Storyboard) -> Places:
        """Where what is finished of a drawable storyboard is kept, or will be."""
        return Shelf(None, self._filled(storyboard)[0], self._engines).places()

    def _filled(self, storyboard: Storyboard) -> tuple[Storyboard, tuple[str, ...]]:
        """With what the default recipe and the model set, and what is to be said about it."""
        said: tuple[str, ...] = ()
        if self._default_recipe is not None:
            storyboard, said = self._default_recipe.fill(storyboard)
        models = {variant: each.info for variant, each in self._engines.items()}
        return at_own_size(storyboard, models), said

    def close(self) -> None:
        """Ends the loops; a storyboard that is being drawn fails."""
        self._denoising.close()
        if self._leases is not None:
            self._leases.close()


def _check_recipe(recipe: DefaultRecipe, engines: Mapping[str, Engines]) -> None:
    """A panel that sets nothing, drawn with the recipe, must be one that the model can draw."""
    info = engines[""].info
    side = -(-min(_TRIAL_SIDE, info.side_limit) // info.side_multiple) * info.side_multiple
    trial: dict[str, Any] = {"panels": (Panel(prompt="a panel"),)}
    trial |= {field: side for field in ("width", "height") if field not in recipe.settings}
    try:
        board, _ = recipe.fill(Storyboard(**trial))
        check_drawable(board, engines)
    except StoryboardError as error:
        raise StoryboardError(f"{SETTING}: {line}" for line in error.problems) from None
