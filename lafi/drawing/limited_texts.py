"""Words that act in a region only, and models in which they cannot.

Where text and picture are one sequence of tokens, no layer reads text by itself.
"""

from collections.abc import Iterator, Mapping, Sequence

from lafi.board.error import Verbatim, problem
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import limited_words
from lafi.drawing.plan import StagePlan
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.model.input_port import WORDS
from lafi.ports.engines import Engines


def limits_words(info: ModelInfo) -> bool:
    """Whether the denoiser has an input for the regions of words."""
    return any(port.name == WORDS for port in input_ports(info))


def placing_problems(field: str, panel: Panel, info: ModelInfo) -> Iterator[str]:
    """A line for a panel with objects on a model that cannot place words."""
    if panel.objects and not limits_words(info):
        allowed = f"none with {info.name}, which reads text and picture together"
        yield problem(field, Verbatim(f"{len(panel.objects)} of them"), allowed)


def word_notes(
    storyboard: Storyboard,
    plans: Sequence[tuple[StagePlan, ...]],
    engines: Mapping[str, Engines],
) -> Iterator[str]:
    """A line for each character whose words act everywhere though it has a region.

    plans: of every panel.
    """
    lines: dict[str, None] = {}
    for index, (panel, stages) in enumerate(zip(storyboard.panels, plans, strict=True)):
        for stage in stages:
            info = engines[stage.variant].info
            if limits_words(info):
                continue
            for span in limited_words(storyboard, panel, stage.injection):
                if span.slot >= len(panel.characters):
                    continue  # an object, which `placing_problems` refuses
                name = panel.characters[span.slot]
                lines[
                    f"panels[{index}].regions.{name}: the words of {name} act everywhere with "
                    f"{info.name}, which reads text and picture together; its reference keeps to "
                    "the region"
                ] = None
    yield from lines
