"""Where in a panel each of its characters is read."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import EVERYWHERE
from lafi.conditioning.routing import region_weights


def reading_regions(
    storyboard: Storyboard, panel: Panel, cells: tuple[int, int]
) -> tuple[Tensor, ...]:
    """(h, w) in [0, 1] for each of the panel's characters: its region, or by its kind.

    Without a region a figure is read everywhere, a prop where figures are (everywhere without
    any), and a place where no region of a figure or prop is. cells: height and width of the latent.
    """
    figures = storyboard.figures(panel)
    own = {name: region_weights(box, cells) for name, box in panel.regions.items()}
    everywhere = region_weights(EVERYWHERE, cells)
    beside = {name: own[name] for name in own if storyboard.character(name).kind != "place"}
    by_kind = {
        "figure": everywhere,
        "prop": _all_of([own.get(name, everywhere) for name in figures] or [everywhere]),
        "place": 1.0 - _all_of([torch.zeros(cells), *beside.values()]),
    }
    return tuple(
        own.get(name, by_kind[storyboard.character(name).kind]) for name in panel.characters
    )


def _all_of(weights: Sequence[Tensor]) -> Tensor:
    """Where at least one of them is."""
    return torch.stack(tuple(weights)).amax(0)
