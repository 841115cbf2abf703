"""A finished panel: its event, and its PNG file with what drew it.

Knows storyboards and pixels, not how a panel is denoised.
"""

from typing import Any

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing import images
from lafi.drawing.attempts import Attempts, Drawn
from lafi.drawing.content_address import content_address
from lafi.ports.engines import Engines
from lafi.wire.events import Failed, PanelImage


def finished_panel(
    storyboard: Storyboard, index: int, attempts: Attempts, engines: Engines, seconds: float
) -> PanelImage | Failed:
    """The best drawing of panel `index`, or why there is none. seconds: since the start."""
    best = attempts.best
    if best is None:
        return Failed(panel=index, error=attempts.error, retryable=False)
    settings = panel_settings(storyboard, storyboard.panels[index], best, engines)
    return PanelImage(
        panel=index,
        png=images.encode_png(best.pixels, settings),
        seed=best.seed,
        prompt=settings["prompt"],
        address=settings["address"],
        seconds=seconds,
        scores=best.scores,
        attempt=best.attempt,
        attempts=attempts.number,
    )


def panel_settings(
    storyboard: Storyboard, panel: Panel, drawn: Drawn, engines: Engines
) -> dict[str, Any]:
    """What drew a panel, for its file: nothing of its place among others."""
    info, recogniser = engines.info, engines.recogniser
    known = recogniser.sha256 if recogniser is not None else ""
    return {
        "prompt": panel.prompt_text(storyboard),
        "negative_prompt": panel.negative_text(storyboard),
        "characters": list(panel.characters),
        "regions": {name: list(box) for name, box in panel.regions.items()},
        "seed": drawn.seed,
        "attempt": drawn.attempt,
        "scores": dict(drawn.scores),
        "size": [storyboard.width, storyboard.height],
        "sampling": storyboard.effective_sampling(panel).model_dump(mode="json"),
        "injection": storyboard.effective_injection(panel).model_dump(mode="json"),
        "model": info.name,
        "variant": info.variant,
        "engine": info.engine,
        "precision": info.precision,
        "address": content_address(storyboard, panel, info, recogniser=known),
    }
