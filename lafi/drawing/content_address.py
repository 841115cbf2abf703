"""The content address of a panel: SHA-256 of everything that decides its pixels, and nothing else.

A panel sent again has the same address. Titles, other panels, the names of characters and who is
not in the panel have no part in it; nor have compiled plans or the device they were built for.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from lafi.board.injection import Injection
from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.conditioning.character_words import limited_words
from lafi.drawing.plan import in_front, stage_variant, with_samplers
from lafi.model.info import ModelInfo
from lafi.model.layers import injected_layers, preset_name

DRAWING_VERSION = 2
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
_NEWER_MODEL_FIELDS = {
    "reference_positions",
    "shift_factor",
    "pooled_width",
    "zero_empty_negative",
    "learnt_tokens",
    "text_windows",
    "trigger",
    "files_sha256",
    "graph_changes",
    "decoder_precision",
}
_EARLIER_NAMES = {"learnt_tokens": "words"}
"""Fields that count under the name they had at first, so that older addresses stay."""
_FIRST_STAGE_FIELDS = {"steps", "sampler", "sigmas", "guidance"}
"""The others count only where they differ from their defaults, so that older addresses stay."""
_REUSE_WINDOW = ("reuse_start", "reuse_end", "reuse_window")
_RESOLVED = ("prompt", "injection", "source", "mask", "variant")
"""Fields of a stage that count by what they mean."""
_WORDS = "words"
"""Counted by which words it limits: a panel in which it limits none is drawn as it always was."""


def content_address(
    storyboard: Storyboard,
    panel: Panel,
    models: Mapping[str, ModelInfo],
    *,
    recogniser: str = "",
    upscaler: str = "",
    version: int = DRAWING_VERSION,
) -> str:
    """64 hexadecimal digits for `panel` of `storyboard` (or for a portrait's panel).

    models: facts by the name of the variant, of all that its stages name.
    recogniser: SHA-256 of its network; it has a part where its scores decide which drawing stays.
    upscaler: SHA-256 of the network that enlarges this panel; it has a part where one does.
    """
    decides: dict[str, Any] = {
        "version": version,
        "model": _model(models[storyboard.variant]),
        "size": [*storyboard.effective_size(panel)],
        "prompt": panel.prompt_text(storyboard),
        "negative": panel.negative_text(storyboard),
        "seed": panel.seed,
        "sampling": {"stages": _stages(storyboard, panel, models, version)},
        "injection": _injection(storyboard.effective_injection(panel), models[storyboard.variant]),
        "characters": [
            _reference(storyboard, storyboard.character(name), models, version)
            | {"region": panel.regions.get(name)}
            | _kind(storyboard.character(name))
            for name in panel.characters
        ],
    } | _retry(storyboard, panel, recogniser)
    if panel.conditions:
        decides["conditions"] = [given.model_dump(mode="json") for given in panel.conditions]
    if panel.control:
        decides["control"] = _controls(panel, models[storyboard.variant])
    if panel.picture_prompts:
        decides["picture_prompts"] = _pictures(storyboard, panel, models, version)
    if panel.objects:
        decides["objects"] = [given.described() for given in panel.objects]
    if panel.references:
        decides["references"] = _further(panel)
    if (factor := storyboard.effective_upscale(panel)) > 1:
        decides["upscale"] = {"factor": factor, "network": upscaler}
    if _weighted(storyboard, panel):
        decides["prompt_weights"] = True
    if trigger := in_front(storyboard.trigger):
        decides["trigger"] = trigger
    if storyboard.clip_skip:
        decides["clip_skip"] = storyboard.clip_skip
    if limited := limited_words(storyboard, panel):
        decides[_WORDS] = limited
    text = json.dumps(decides, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _kind(character: Character) -> dict[str, Any]:
    """Nothing for a figure, so that older addresses stay."""
    return {} if character.kind == "figure" else {"kind": character.kind}


def _controls(panel: Panel, model: ModelInfo) -> list[dict[str, Any]]:
    """What steers a panel, with the files of the networks in place of their names."""
    found = []
    for control in panel.control:
        network = model.control(control.kind)
        # Its weights alone: what else is known of it follows from them and the model.
        counted = {"sha256", "weights_sha256"}
        files = None if network is None else network.model_dump(mode="json", include=counted)
        found.append(control.described() | {"kind": files})
    return found


def _pictures(
    storyboard: Storyboard, panel: Panel, models: Mapping[str, ModelInfo], version: int
) -> dict[str, Any]:
    """What acts beside a panel's words, with characters' pictures in place of their names."""
    given = []
    for prompt in panel.picture_prompts:
        described = prompt.described()
        if prompt.character is not None:
            character = storyboard.character(prompt.character)
            shown = _reference(storyboard, character, models, version)
            # Of a given picture the caption says nothing here; a portrait's own address has it.
            del shown["caption"]
            described |= {"character": None, **shown}
        given.append(described)
    adapter = models[storyboard.variant].picture_prompts
    return {
        "given": given,
        "adapter": None if adapter is None else adapter.model_dump(mode="json"),
    }


def _further(panel: Panel) -> list[dict[str, Any]]:
    """Further pictures, with their character's place in the panel in place of its name."""
    return [
        given.described() | {"character": panel.characters.index(given.character)}
        for given in panel.references
    ]


def _weighted(storyboard: Storyboard, panel: Panel) -> bool:
    """Whether marks in one of the panel's texts give words a weight; else they count for nothing.

    So prompts without any keep the addresses that they always had.
    """
    if not storyboard.prompt_weights:
        return False
    stages = storyboard.effective_sampling(panel).stages
    captions = (storyboard.character(name).caption for name in panel.characters)
    texts = (panel.stage_text(storyboard, stage) for stage in stages)
    every = (*texts, *captions, panel.negative_text(storyboard), storyboard.trigger)
    return any(mark in text for text in every for mark in "()[]\\")


def stage_address(
    storyboard: Storyboard, panel: Panel, models: Mapping[str, ModelInfo], stage: int
) -> str:
    """The address of a panel's latents after its stage number `stage`, counted from 1.

    Whether the panel is drawn again or enlarged, and its later stages, have no part in it.
    """
    sampling = storyboard.effective_sampling(panel)
    until = sampling.model_copy(update={"stages": sampling.stages[:stage]})
    alone = panel.model_copy(update={"sampling": until, "retries": 0, "upscale": 1})
    address = content_address(storyboard, alone, models)
    return hashlib.sha256(f"latents {address}".encode()).hexdigest()


def _model(model: ModelInfo) -> dict[str, Any]:
    newer = model.model_dump(mode="json", include=_NEWER_MODEL_FIELDS, exclude_defaults=True)
    named = {_EARLIER_NAMES.get(field, field): value for field, value in newer.items()}
    return model.model_dump(mode="json", include=_MODEL_FIELDS) | named


def _injection(injection: Injection, model: ModelInfo) -> dict[str, Any]:
    """With the layers by name, or as their indices where the model has presets of its own."""
    found = injection.model_dump(mode="json", exclude={_WORDS})
    if isinstance(injection.layers, str) and model.presets:
        found["layers"] = injected_layers(model, injection.layers)
    elif isinstance(injection.layers, str):
        found["layers"] = preset_name(model, injection.layers)
    return found


def _retry(storyboard: Storyboard, panel: Panel, recogniser: str) -> dict[str, Any]:
    """Nothing where a panel is drawn once, so that older addresses stay."""
    retry = storyboard.effective_retry(panel)
    return {"retry": [*retry, recogniser]} if retry and panel.characters else {}


def _mended(stage: SamplingStage, model: ModelInfo) -> dict[str, Any]:
    """A mark where this version draws a schedule otherwise than the first did, and only there.

    DDIM with `linspace` spacing steps evenly now; with `trailing` spacing some numbers of steps
    had one timestep too many, by a rounding in diffusers (`lafi.sampling.solver`).
    """
    config = model.scheduler_config
    spacing, trained = config.get("timestep_spacing"), config.get("num_train_timesteps", 1000)
    steps = round(stage.steps / stage.denoise)
    even = spacing == "linspace" and stage.sampler == "DDIM"
    one_too_many = spacing == "trailing" and math.ceil(trained / (trained / steps)) != steps
    return {"schedule": 2} if even or one_too_many else {}


def _stages(
    storyboard: Storyboard, panel: Panel, models: Mapping[str, ModelInfo], version: int
) -> list[dict[str, Any]]:
    found = []
    for stage in with_samplers(storyboard, panel, models).stages:
        model = models[stage_variant(storyboard, stage)]
        resolved = _resolved(storyboard, panel, stage, models, version)
        found.append(_stage(stage) | _mended(stage, model) | resolved)
    return found


def _stage(stage: SamplingStage) -> dict[str, Any]:
    unused = {*_RESOLVED} | (set() if stage.reuse_threshold else {*_REUSE_WINDOW})
    newer = {*SamplingStage.model_fields} - _FIRST_STAGE_FIELDS - unused
    first = stage.model_dump(mode="json", include=_FIRST_STAGE_FIELDS)
    return first | stage.model_dump(mode="json", include=newer, exclude_defaults=True)


def _resolved(
    storyboard: Storyboard,
    panel: Panel,
    stage: SamplingStage,
    models: Mapping[str, ModelInfo],
    version: int,
) -> dict[str, Any]:
    """A stage's own texts, injection, source and mask; empty where it has none."""
    found: dict[str, Any] = {}
    if stage.variant not in (None, storyboard.variant):
        found["model"] = _model(models[stage.variant])
    if stage.prompt is not None:
        found["prompt"] = panel.stage_text(storyboard, stage)
    if stage.injection is not None:
        injection = storyboard.effective_injection(panel, stage)
        found["injection"] = _injection(injection, models[stage_variant(storyboard, stage)])
    if stage.source is not None and stage.source.image is not None:
        found["from"] = {"image": stage.source.image.sha256}
    if stage.source is not None and stage.source.panel is not None:
        # A stage begins with the panel as it was drawn, whatever became of it afterwards.
        earlier = storyboard.panels[stage.source.panel].model_copy(update={"upscale": 1})
        found["from"] = {"panel": content_address(storyboard, earlier, models, version=version)}
    if stage.mask is not None:
        image = stage.mask.image
        found["mask"] = stage.mask.region if image is None else {"image": image.sha256}
    return found


def _reference(
    storyboard: Storyboard, character: Character, models: Mapping[str, ModelInfo], version: int
) -> dict[str, Any]:
    """What decides a character's reference row: its caption, and its image or its portrait's."""
    if character.reference is not None:
        return {"caption": character.caption, "image": character.reference.sha256}
    portrait = storyboard.portrait_panel(character.name)
    address = content_address(storyboard, portrait, models, version=version)
    return {"caption": character.caption, "portrait": address}
