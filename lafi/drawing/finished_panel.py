"""A finished panel: its event, and its PNG file with what drew it.

Knows storyboards and pixels, not how a panel is denoised.
"""

from collections.abc import Mapping
from typing import Any

from lafi.board.stages import Sampling
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing import images
from lafi.drawing.attempts import Attempts, Drawn
from lafi.drawing.content_address import content_address
from lafi.drawing.enlarge import panel_network, upscale_settings
from lafi.drawing.plan import with_samplers
from lafi.ports.engines import Engines
from lafi.wire.events import Failed, PanelImage


def finished_panel(
    storyboard: Storyboard,
    index: int,
    attempts: Attempts,
    engines: Mapping[str, Engines],
    seconds: float,
    png: bytes,
    *,
    kept: bool,
) -> PanelImage | Failed:
    """The best drawing of panel `index`, or why there is none.

    engines: by the name of the variant. seconds: since the start. png: its pixels, enlarged where
    they are to be, as a PNG file without text. kept: whether it was drawn before.
    """
    best = attempts.best
    if best is None:
        return Failed(panel=index, error=attempts.error, retryable=False)
    settings = panel_settings(storyboard, storyboard.panels[index], best, engines)
    return PanelImage(
        panel=index,
        png=images.with_settings(png, settings),
        seed=best.seed,
        prompt=settings["prompt"],
        address=settings["address"],
        seconds=seconds,
        scores=best.scores,
        attempt=best.attempt,
        attempts=attempts.number,
        kept=kept,
    )


def panel_settings(
    storyboard: Storyboard, panel: Panel, drawn: Drawn, engines: Mapping[str, Engines]
) -> dict[str, Any]:
    """What drew a panel, for its file: nothing of its place among others."""
    own = engines[storyboard.variant]
    info, recogniser = own.info, own.recogniser
    models = {variant: each.info for variant, each in engines.items()}
    known = recogniser.sha256 if recogniser is not None else ""
    network = panel_network(storyboard, panel, own.upscaler)
    large = network.sha256 if network is not None else ""
    return {
        "prompt": panel.prompt_text(storyboard),
        "trigger": storyboard.trigger,
        "negative_prompt": panel.negative_text(storyboard),
        "clip_skip": storyboard.clip_skip,
        "characters": list(panel.characters),
        "regions": {name: list(box) for name, box in panel.regions.items()},
        "conditions": [given.model_dump(mode="json") for given in panel.conditions],
        "control": [given.described() for given in panel.control],
        "picture_prompts": [given.described() for given in panel.picture_prompts],
        "objects": [given.described() for given in panel.objects],
        "references": [given.described() for given in panel.references],
        "seed": drawn.seed,
        "attempt": drawn.attempt,
        "scores": dict(drawn.scores),
        "size": [*storyboard.effective_size(panel)],
        "sampling": described_sampling(with_samplers(storyboard, panel, models)),
        "injection": storyboard.effective_injection(panel).model_dump(mode="json"),
        "model": info.name,
        "variant": info.variant,
        "engine": info.engine,
        "precision": info.precision,
        "address": content_address(storyboard, panel, models, recogniser=known, upscaler=large),
        **upscale_settings(storyboard, panel, own.upscaler),
    }


def described_sampling(sampling: Sampling) -> dict[str, Any]:
    """A panel's stages as plain data, with pictures' SHA-256 in place of their bytes."""
    described: dict[str, Any] = sampling.model_dump(mode="json")
    for stage, plain in zip(sampling.stages, described["stages"], strict=True):
        for name, given in (("from", stage.source), ("mask", stage.mask)):
            if given is not None and given.image is not None:
                plain[name]["image"] = given.image.sha256
    return described
