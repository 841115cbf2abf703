"""Finished panels, enlarged by a network where the storyboard asks for it.

Knows storyboards and pixels, not how a panel is drawn.
"""

from typing import Any

from lafi.board.error import problem
from lafi.board.letterbox import Pixels
from lafi.board.limits import UPSCALES
from lafi.board.storyboard import Panel, Storyboard
from lafi.model.upscaler_files import PUT_IN, UpscalerNetwork
from lafi.ports.upscaler import Upscaler


def enlarged(pixels: Pixels, factor: int, upscaler: Upscaler | None) -> Pixels:
    """RGB uint8 (H, W, 3) -> (factor * H, factor * W, 3); with a factor of 1 the same pixels."""
    if factor == 1:
        return pixels
    assert upscaler is not None, "`upscale_problems` is asked before"
    large: Pixels = upscaler(pixels[None], factor)[0]
    return large


def panel_network(
    storyboard: Storyboard, panel: Panel, upscaler: Upscaler | None
) -> UpscalerNetwork | None:
    """The network that enlarges a panel; None for a panel as it is drawn."""
    factor = storyboard.effective_upscale(panel)
    return None if factor == 1 or upscaler is None else upscaler.info.network(factor)


def upscale_settings(
    storyboard: Storyboard, panel: Panel, upscaler: Upscaler | None
) -> dict[str, Any]:
    """What enlarged a panel, for its file; empty for a panel as it is drawn."""
    network = panel_network(storyboard, panel, upscaler)
    if network is None:
        return {}
    factor = storyboard.effective_upscale(panel)
    return {"upscale": {"factor": factor, "network": network.name, "sha256": network.sha256}}


def upscale_problems(storyboard: Storyboard, upscaler: Upscaler | None) -> list[str]:
    """One line for each factor by which nothing here enlarges."""
    possible = (1, *(upscaler.info.factors(UPSCALES) if upscaler is not None else ()))
    if upscaler is None:
        allowed = f"1: this model was exported without an upscaler; get one with: {PUT_IN}"
    else:
        allowed = f"{', '.join(map(str, possible))}, or a larger network: {PUT_IN}"
    given = {"upscale": storyboard.upscale} | {
        f"panels[{index}].upscale": panel.upscale for index, panel in enumerate(storyboard.panels)
    }
    return [
        problem(field, factor, allowed)
        for field, factor in given.items()
        if factor is not None and factor not in possible
    ]
