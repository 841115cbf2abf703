"""Further pictures of a panel's characters at the sizes at which its stages read them.

Knows panels, stages and pixels, not how a picture is encoded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lafi.board.further_reference import FurtherReference
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.reference import noise_seed
from lafi.drawing.pictures import Picture, Size, fitted
from lafi.drawing.plan import StagePlan

Needed = Mapping[tuple[str, Size], list[Picture]]
"""(variant, size) -> the pictures that are read there."""


def further_key(reference: FurtherReference) -> str:
    """The name of its picture among the encoded ones; no character's name has a space."""
    return f"{reference.character} {reference.content}"


def further_pictures(
    storyboard: Storyboard, panels: Iterable[tuple[Panel, Sequence[StagePlan]]]
) -> Needed:
    """The pictures that these stages of panels read, each decoded once."""
    sizes: dict[str, dict[Size, set[str]]] = {}
    given: dict[str, FurtherReference] = {}
    for panel, stages in panels:
        for reference, stage in _read(panel, stages):
            key = further_key(reference)
            given[key] = reference
            sizes.setdefault(key, {}).setdefault(stage.size, set()).add(stage.variant)
    needed: dict[tuple[str, Size], list[Picture]] = {}
    for key, reference in given.items():
        picture = _picture(key, reference, storyboard, sizes[key])
        for size, variants in sizes[key].items():
            for variant in sorted(variants):
                needed.setdefault((variant, size), []).append(picture)
    return needed


def further_reference_notes(
    storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]
) -> Iterator[str]:
    """A line for each panel of which no stage reads any reference. plans: of every panel."""
    for index, (panel, stages) in enumerate(zip(storyboard.panels, plans, strict=True)):
        if panel.references and not any(stage.reads for stage in stages):
            where = f"panels[{index}].references"
            yield f"{where}: they have no effect, since none of its stages injects references"


def _read(
    panel: Panel, stages: Sequence[StagePlan]
) -> Iterator[tuple[FurtherReference, StagePlan]]:
    for stage in stages:
        if stage.reads:
            yield from ((reference, stage) for reference in panel.references)


def _picture(
    key: str, reference: FurtherReference, storyboard: Storyboard, sizes: Iterable[Size]
) -> Picture:
    caption = storyboard.character(reference.character).caption
    content = reference.content
    return Picture(key, caption, fitted(reference.shown(), sizes), content, noise_seed(content))
