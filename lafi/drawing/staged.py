"""How a picture enters a stage: from noise, from the stage before it, or from a picture.

Encoded texts and references come from `Materials`; a stage leaves clean latents. Knows one
picture, not the loop that denoises it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lafi.board.letterbox import Pixels, fit
from lafi.board.stages import StageMask
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import limited_words
from lafi.conditioning.conditioner import Conditioner, FixedPorts, LimitedWords
from lafi.conditioning.prompt_weights import as_read
from lafi.conditioning.prompts import TextReading, zeros_like
from lafi.conditioning.reference import Reference
from lafi.conditioning.registry import prepared
from lafi.conditioning.routing import region_weights
from lafi.denoising.panel_state import Kept, PanelInjection, PanelState
from lafi.drawing import images
from lafi.drawing.further_references import further_key
from lafi.drawing.limited_texts import limits_words
from lafi.drawing.panel_controls import ControlConditions, panel_controls, panel_features
from lafi.drawing.picture_prompts import PictureTokens, panel_pictures
from lafi.drawing.pictures import Size
from lafi.drawing.plan import StagePlan
from lafi.drawing.reading_regions import reading_regions
from lafi.drawing.upscale import resized, through_pixels
from lafi.model.families.registry import guidance_kind
from lafi.model.info import ModelInfo
from lafi.ports.engines import EncodedText, Engines
from lafi.sampling.guidance import TwoRows, guidance_of
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse


@dataclass(frozen=True, slots=True)
class Materials:
    """What all stages of a storyboard share, encoded once.

    engines     by the name of the variant
    texts       (variant, clip_skip) -> text -> its encoding
    references  (variant, size) -> character or further picture -> its reference at that size
    conditions  what control networks and adapters made of the panels' pictures and poses
    pictures    what an image encoder made of the panels' picture prompts
    """

    storyboard: Storyboard
    engines: Mapping[str, Engines]
    texts: dict[tuple[str, int], dict[str, EncodedText]] = field(default_factory=dict)
    references: dict[tuple[str, Size], dict[str, Reference]] = field(default_factory=dict)
    conditions: ControlConditions = field(default_factory=ControlConditions)
    pictures: PictureTokens = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", PictureTokens(self.storyboard))

    @property
    def reading(self) -> TextReading:
        """How prompts and captions are read."""
        return TextReading(self.storyboard.prompt_weights, self.storyboard.clip_skip)

    def prompts(self, variant: str) -> dict[str, EncodedText]:
        """Prompts and captions as a variant reads them; those that are encoded so far."""
        return self.texts.setdefault((variant, self.storyboard.clip_skip), {})

    def negatives(self, variant: str) -> dict[str, EncodedText]:
        """Negative prompts: no layer is skipped, as in diffusers' pipelines."""
        return self.texts.setdefault((variant, 0), {})


@dataclass(slots=True)
class StagedPicture:
    """A panel or a portrait on its way through its stages.

    key     a panel's number, or a character's name
    panel   with the seed of this drawing
    attempt which drawing of the panel, from 1
    stages  in their order; `at` is the place of the one that is drawn now
    sources earlier panels that stages begin with, RGB uint8 (H, W, 3), by the stage's place
    resumed what an earlier drawing left after the stage before `at`, (C, h, w)
    """

    key: int | str
    panel: Panel
    stages: tuple[StagePlan, ...]
    attempt: int = 1
    at: int = 0
    sources: Mapping[int, Pixels] = field(default_factory=dict)
    resumed: Tensor | None = None

    @property
    def stage(self) -> StagePlan:
        """The one that is drawn now."""
        return self.stages[self.at]


def enter(picture: StagedPicture, before: Tensor | None, materials: Materials) -> PanelState:
    """The picture at the beginning of its present stage.

    before: clean latents (C, h, w) that the stage before left; None in the first.
    """
    plan = picture.stage
    stage, engines = plan.settings, materials.engines[plan.variant]
    info = engines.info
    size = latent_size(plan, engines)
    seed = picture.panel.seed if stage.seed is None else stage.seed
    schedule = PanelSchedule(stage, info.scheduler_config, seed, token_grid(info, size))
    original = _original(picture, before, materials.engines)
    if original is None or plan.from_noise:
        latents = schedule.initial_noise((info.latent_channels, *size))
    else:
        latents = schedule.start(original)
    guidance = guidance_of(stage, guidance_kind(info))
    embedded = guidance.ports()
    return PanelState(
        name=picture.key,
        latents=latents,
        schedule=schedule,
        text=materials.prompts(plan.variant)[plan.text],
        negative=negative_text(plan, materials) if isinstance(guidance, TwoRows) else None,
        guidance=guidance,
        injection=_injection(picture, materials, size),
        reuse=_reuse(plan, engines),
        conditioners=(
            *_limited_words(picture, materials),
            *(prepared(given, info, size) for given in picture.panel.conditions),
            *([FixedPorts({n: torch.tensor(v) for n, v in embedded.items()})] if embedded else []),
        ),
        controls=panel_controls(picture.panel, plan.size, engines, materials.conditions),
        features=panel_features(picture.panel, plan.size, engines, materials.conditions),
        pictures=panel_pictures(picture.panel, plan, engines, materials.pictures),
        kept=None
        if stage.mask is None or original is None
        else Kept(original, _mask(stage.mask, plan.size, size)),
        variant=plan.variant,
    )


def latent_size(plan: StagePlan, engines: Engines) -> tuple[int, int]:
    """Latent height and width of a stage."""
    width, height = plan.size
    return height // engines.info.vae_scale, width // engines.info.vae_scale


def token_grid(info: ModelInfo, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture in the model's tokens, of which a flow's shift may depend.

    size: of the latent.
    """
    cells = min((layer.downscale for layer in info.layers), default=1)
    high, wide = size
    return -(-high // cells), -(-wide // cells)


def zero_negative(plan: StagePlan, engines: Engines) -> bool:
    """Whether the row without prompt gets zeros instead of an encoded empty text."""
    return engines.info.zero_empty_negative and not plan.negative


def negative_text(plan: StagePlan, materials: Materials) -> EncodedText:
    """Text of the row without prompt."""
    if zero_negative(plan, materials.engines[plan.variant]):
        return zeros_like(materials.prompts(plan.variant)[plan.text])
    return materials.negatives(plan.variant)[plan.negative]


def _original(
    picture: StagedPicture, before: Tensor | None, every: Mapping[str, Engines]
) -> Tensor | None:
    """Clean latents (C, h, w) that the stage begins with, at its size; None where it has none.

    every: engines by the name of the variant.
    """
    plan = picture.stage
    engines = every[plan.variant]
    source = plan.settings.source
    if source is None:
        if before is None:
            return None
        left = every[picture.stages[picture.at - 1].variant]
        if not left.info.shares_latents(engines.info):
            return through_pixels(before, plan.size, left.vae_decoder, engines.vae_encoder)
        size = latent_size(plan, engines)
        method = plan.settings.upscale
        return resized(before, size, method, engines.vae_decoder, engines.vae_encoder)
    if source.image is not None:
        image = source.image.image()
    else:
        image = Image.fromarray(picture.sources[picture.at], mode="RGB").convert("RGBA")
    pixels = fit(image, *plan.size).pixels
    return engines.vae_encoder(images.to_tensor(pixels)[None])[0]


def _mask(mask: StageMask, size: Size, cells: tuple[int, int]) -> Tensor:
    """(h, w) of 0 and 1, 1 is drawn anew; as diffusers' inpainting reads a mask.

    A picture is fitted as its source is; what the fitting adds beside it is drawn anew.
    """
    if mask.region is not None:
        return (region_weights(mask.region, cells) >= 0.5).float()
    assert mask.image is not None
    fitted = fit(mask.image.image(), *size)
    grey = np.asarray(Image.fromarray(fitted.pixels, mode="RGB").convert("L"), dtype=np.float32)
    alpha = fitted.alpha.astype(np.float32) / 255.0
    # Mid-grey stood in for what is transparent; it counts as black, which is kept.
    white = grey / 255.0 * alpha
    white[_beside(mask, size)] = 1.0
    anew = torch.from_numpy((white >= 0.5).astype(np.float32))
    return F.interpolate(anew[None, None], size=cells)[0, 0]


def _beside(mask: StageMask, size: Size) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Where a fitted picture of this file's proportions has its padding."""
    assert mask.image is not None
    opaque = Image.new("RGBA", mask.image.image().size, (255, 255, 255, 255))
    padding: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = fit(opaque, *size).alpha == 0
    return padding


def _injection(
    picture: StagedPicture, materials: Materials, cells: tuple[int, int]
) -> PanelInjection:
    plan, panel = picture.stage, picture.panel
    own = reading_regions(materials.storyboard, panel, cells)
    places = dict(zip(panel.characters, own, strict=True))
    regions = (
        *own,
        *(places[further.character] for further in panel.references),
        *(region_weights(placed.box, cells) for placed in panel.objects),
    )
    if not plan.reads:
        return PanelInjection(regions=regions)
    given = plan.injection
    known = materials.references[plan.variant, plan.size]
    return PanelInjection(
        references=tuple(known[n] for n in (*plan.reads, *map(further_key, panel.references))),
        regions=regions,
        layers=plan.layers,
        start=given.start,
        end=given.end,
        strength=given.strength,
        both_branches=given.branches == "both",
        noise=given.reference_noise,
    )


def _reuse(plan: StagePlan, engines: Engines) -> StepReuse | None:
    stage = plan.settings
    if stage.reuse_threshold == 0.0:
        return None
    rule = ReuseRule(stage.reuse_threshold, stage.reuse_start, stage.reuse_end, stage.reuse_window)
    return StepReuse(rule, noise_model_of(engines.info.scheduler_config))


def _limited_words(picture: StagedPicture, materials: Materials) -> tuple[Conditioner, ...]:
    """The words that are limited to regions, if any are."""
    plan, panel = picture.stage, picture.panel
    if plan.settings.prompt is not None:
        panel = panel.model_copy(update={"prompt": plan.settings.prompt})
    before = len(plan.trigger)
    spans = [
        span._replace(start=span.start + before, stop=span.stop + before)
        for span in limited_words(materials.storyboard, panel, plan.injection)
    ]
    engines = materials.engines[plan.variant]
    if not spans or not limits_words(engines.info):
        return ()
    read = as_read(plan.text, weighted=materials.storyboard.prompt_weights)
    slots = torch.from_numpy(engines.prompts.slots(read.text, read.moved(spans)))
    return (LimitedWords(slots),) if bool((slots >= 0).any()) else ()
