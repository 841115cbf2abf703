"""Where in a panel each of its characters is read."""

import torch
from torch import Tensor

from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import EVERYWHERE
from lafi.conditioning.routing import region_weights


def reading_regions(
    storyboard: Storyboard, panel: Panel, cells: tuple[int, int]
) -> tuple[Tensor, ...]:
    """(h, w) in [0, 1] for each of the panel's characters: its region, or everywhere.

    A place without a region is read where no figure's region is. cells: height and width of the
    latent.
    """
    figures = storyboard.figures(panel)
    boxes = (region_weights(panel.regions[n], cells) for n in figures if n in panel.regions)
    beside = torch.ones(cells)
    for weights in boxes:
        beside = torch.minimum(beside, 1.0 - weights)
    return tuple(
        beside
        if name not in figures and name not in panel.regions
        else region_weights(panel.regions.get(name, EVERYWHERE), cells)
        for name in panel.characters
    )
