"""The content address of a panel: SHA-256 of everything that decides its pixels, and nothing else.

A panel sent again has the same address. Titles, other panels, the names of characters and who is
not in the panel have no part in it; nor have compiled plans or the device they were built for.
"""

import hashlib
import json
from typing import Any

from lafi.board.storyboard import Character, Panel, SamplingStage, Storyboard
from lafi.conditioning.character_words import limited_words
from lafi.model.info import ModelInfo

DRAWING_VERSION = 1
"""Of the drawing code: raise it by one whenever the same inputs give other pixels than before."""

_MODEL_FIELDS = {
    "architecture",
    "latent_channels",
    "vae_scale",
    "text_length",
    "text_width",
    "scheduler_config",
    "prediction_type",
    "scaling_factor",
    "weights_sha256",
    "onnx_sha256",
    "engine",
    "precision",
}
_NEWER_MODEL_FIELDS = {"pooled_width", "zero_empty_negative", "words"}
_REUSE_WINDOW = ("reuse_start", "reuse_end")
_NEWER_STAGE_FIELDS = ("guidance_start", "guidance_end", "reuse_threshold", *_REUSE_WINDOW)
"""All are counted only where they differ from their defaults, so that older addresses stay."""
_WORDS = "words"
"""Counted by which words it limits: a panel in which it limits none is drawn as it always was."""


def content_address(
    storyboard: Storyboard,
    panel: Panel,
    model: ModelInfo,
    *,
    recogniser: str = "",
    version: int = DRAWING_VERSION,
) -> str:
    """64 hexadecimal digits for `panel` of `storyboard` (or for a portrait's panel).

    recogniser: SHA-256 of its network; it has a part where its scores decide which drawing stays.
    """
    decides: dict[str, Any] = {
        "version": version,
        "model": model.model_dump(mode="json", include=_MODEL_FIELDS)
        | model.model_dump(mode="json", include=_NEWER_MODEL_FIELDS, exclude_defaults=True),
        "size": [storyboard.width, storyboard.height],
        "prompt": panel.prompt_text(storyboard),
        "negative": panel.negative_text(storyboard),
        "seed": panel.seed,
        "sampling": {"stages": [_stage(s) for s in storyboard.effective_sampling(panel).stages]},
        "injection": storyboard.effective_injection(panel).model_dump(
            mode="json", exclude={_WORDS}
        ),
        "characters": [
            _reference(storyboard, storyboard.character(name), model, version)
            | {"region": panel.regions.get(name)}
            for name in panel.characters
        ],
    } | _retry(storyboard, panel, recogniser)
    if limited := limited_words(storyboard, panel):
        decides[_WORDS] = limited
    text = json.dumps(decides, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _retry(storyboard: Storyboard, panel: Panel, recogniser: str) -> dict[str, Any]:
    """Nothing where a panel is drawn once, so that older addresses stay."""
    retry = storyboard.effective_retry(panel)
    return {"retry": [*retry, recogniser]} if retry and panel.characters else {}


def _stage(stage: SamplingStage) -> dict[str, Any]:
    counted = {*_NEWER_STAGE_FIELDS} - (set() if stage.reuse_threshold else {*_REUSE_WINDOW})
    newer = stage.model_dump(mode="json", include=counted, exclude_defaults=True)
    return stage.model_dump(mode="json", exclude={*_NEWER_STAGE_FIELDS}) | newer


def _reference(
    storyboard: Storyboard, character: Character, model: ModelInfo, version: int
) -> dict[str, Any]:
    """What decides a character's reference row: its caption, and its image or its portrait's."""
    if character.reference is not None:
        return {"caption": character.caption, "image": character.reference.sha256}
    portrait = storyboard.portrait_panel(character.name)
    address = content_address(storyboard, portrait, model, version=version)
    return {"caption": character.caption, "portrait": address}
