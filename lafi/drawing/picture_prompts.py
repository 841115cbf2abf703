"""The picture prompts of a panel's stage, prepared; and what a model cannot do of them.

Knows panels and an image encoder, not the loop that reads the tokens.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lafi.board.error import Verbatim, problem
from lafi.board.letterbox import Pixels
from lafi.board.picture_prompt import PicturePrompt
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.picture_prompts import PanelPicture, PicturePrompts
from lafi.conditioning.routing import region_weights
from lafi.drawing.plan import StagePlan
from lafi.model.picture_prompt_info import PUT_IN
from lafi.ports.engines import Engines
from lafi.sampling.window import whole_steps_in_window

_NOTHING = "nothing"


class PictureTokens:
    """What an image encoder made of pictures, each once: panels, stages and retries share it."""

    def __init__(self, storyboard: Storyboard) -> None:
        self._storyboard = storyboard
        self._portraits: dict[str, Pixels] = {}
        self._made: dict[tuple[str, str], Tensor] = {}

    def know(self, character: str, portrait: Pixels) -> None:
        """The portrait of a character without a reference, RGB uint8 (H, W, 3)."""
        self._portraits[character] = portrait

    def of(self, prompt: PicturePrompt, variant: str, engines: Engines) -> Tensor:
        """(K, D): the tokens of its picture. engines: of the variant."""
        key = (variant, self._content(prompt))
        if key not in self._made:
            assert engines.picture_encoder is not None
            assert engines.info.picture_prompts is not None
            seen = clip_pixels(self._picture(prompt), engines.info.picture_prompts.side)
            self._made[key] = engines.picture_encoder(seen)[0]
        return self._made[key]

    def nothing(self, variant: str, engines: Engines) -> Tensor:
        """(K, D): the tokens of no picture."""
        key = (variant, _NOTHING)
        if key not in self._made:
            assert engines.picture_encoder is not None
            self._made[key] = engines.picture_encoder.nothing()[0]
        return self._made[key]

    def _content(self, prompt: PicturePrompt) -> str:
        image = self._given(prompt)
        return f"portrait of {prompt.character}" if image is None else image.sha256

    def _picture(self, prompt: PicturePrompt) -> Image.Image:
        image = self._given(prompt)
        if image is not None:
            return on_white(image.image())
        return Image.fromarray(self._portraits[str(prompt.character)], mode="RGB")

    def _given(self, prompt: PicturePrompt) -> Any:
        if prompt.character is None:
            return prompt.image
        return self._storyboard.character(prompt.character).reference


def on_white(image: Image.Image) -> Image.Image:
    """RGBA -> RGB: behind what is transparent is white."""
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return white.convert("RGB")


def clip_pixels(image: Image.Image, side: int) -> Tensor:
    """RGB -> (1, 3, S, S) float32: its middle square, as CLIP's own code prepares pictures."""
    # Imported here: it takes long, and nothing else of drawing needs it. The kind that computes by
    # Pillow, so that it is the same whether torchvision is installed or not.
    from transformers import CLIPImageProcessorPil

    prepare = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)
    pixels: Tensor = prepare(image, return_tensors="pt")["pixel_values"]
    return pixels.to(torch.float32)


def panel_pictures(
    panel: Panel, plan: StagePlan, engines: Engines, tokens: PictureTokens
) -> PicturePrompts:
    """The picture prompts of a panel in a stage. engines: of the stage's variant."""
    width, height = (side // engines.info.vae_scale for side in plan.size)
    pictures = []
    for prompt in panel.picture_prompts:
        weights = torch.full((height, width), prompt.strength)
        if prompt.region is not None:
            weights = weights * region_weights(prompt.region, (height, width))
        pictures.append(
            PanelPicture(
                tokens=tokens.of(prompt, plan.variant, engines),
                nothing=tokens.nothing(plan.variant, engines),
                weights=weights,
                start=prompt.start,
                end=prompt.end,
            )
        )
    return PicturePrompts(tuple(pictures))


def prompted_characters(panel: Panel) -> Iterator[str]:
    """Characters whose pictures are prompts of a panel, in their order."""
    for prompt in panel.picture_prompts:
        if prompt.character is not None:
            yield prompt.character


def picture_prompt_problems(field: str, panel: Panel, engines: Engines) -> Iterator[str]:
    """A line where the model takes no picture prompts."""
    if panel.picture_prompts and engines.picture_encoder is None:
        got = Verbatim(f"{len(panel.picture_prompts)} of them")
        yield problem(field, got, f"none, since {engines.info.name} has no adapter; {PUT_IN}")


def picture_prompt_notes(
    storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]
) -> Iterator[str]:
    """A line for each that acts in no step of a stage. plans: of every panel."""
    for index, (panel, stages) in enumerate(zip(storyboard.panels, plans, strict=True)):
        for place, prompt in enumerate(panel.picture_prompts):
            for stage in stages:
                if why := _idle(prompt, stage.settings.steps):
                    where = f"panels[{index}].picture_prompts[{place}]"
                    yield f"{where}: it has no effect in stage {stage.number}: {why}"


def _idle(prompt: PicturePrompt, steps: int) -> str:
    """Why it acts in none of a stage's steps; "" where it acts."""
    window = (prompt.start, prompt.end)
    if not any(whole_steps_in_window(step, steps, *window) for step in range(steps)):
        return f"none of its {steps} steps lies in start to end"
    return "its strength is 0" if prompt.strength == 0.0 else ""
