"""What `accepted` says: everything that is drawn otherwise than it was written.

Knows plans, not how anything is drawn.
"""

from collections.abc import Iterator, Mapping, Sequence

from lafi.board.storyboard import Storyboard
from lafi.drawing.foreign_syntax import foreign_notes
from lafi.drawing.further_references import further_reference_notes
from lafi.drawing.limited_texts import word_notes
from lafi.drawing.long_texts import window_notes
from lafi.drawing.panel_controls import control_notes
from lafi.drawing.picture_prompts import picture_prompt_notes
from lafi.drawing.plan import StagePlan, notes
from lafi.drawing.weighted_texts import weight_notes
from lafi.ports.engines import Engines


def all_notes(
    storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]], engines: Mapping[str, Engines]
) -> Iterator[str]:
    """One line for each. plans: of every panel. engines: by the name of the variant."""
    yield from notes(storyboard, plans)
    yield from weight_notes(storyboard, plans)
    yield from foreign_notes(storyboard, plans)
    yield from window_notes(storyboard, plans, engines)
    yield from word_notes(storyboard, plans, engines)
    yield from control_notes(storyboard, plans)
    yield from picture_prompt_notes(storyboard, plans)
    yield from further_reference_notes(storyboard, plans)
