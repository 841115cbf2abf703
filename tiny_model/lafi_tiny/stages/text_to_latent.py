"""The UNet and its text encoder, which are trained together."""

from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from lafi_tiny.stages.blueprint import Blueprint, build_text_encoder, build_unet
from lafi_tiny.stages.denoising_model import (
    DenoisingModel,
    MiddleShape,
    Recipe,
    StageFiles,
    Text,
    load_checkpoint,
    outputs_of,
)
from lafi_tiny.stages.noise import DiffusionNoise
from lafi_tiny.stages.stage_folder import has_finished
from lafi_tiny.stages.tokenizer import stage_tokenizer, token_ids

STATE_FILE = "denoiser.pt"
BEST_FILE = "denoiser_best.pt"
LARGER_FILE = "larger.pt"
DENOISER = StageFiles(
    name="denoiser",
    state=STATE_FILE,
    best=BEST_FILE,
    curve="curve.jsonl",
    finish="finish.json",
    figures="evaluation.json",
)


class TextToLatent(DenoisingModel):
    """The networks that are trained together."""

    def __init__(self, plan: Blueprint, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet(plan)
        self.text_encoder: CLIPTextModel = build_text_encoder(plan, tokenizer)
        self.noise = DiffusionNoise()
        side = plan.side // plan.factor
        self.latent_shape = (plan.latent_channels, side, side)
        widths = plan.unet_widths
        self.middle = MiddleShape(widths[-1], side // 2 ** (len(widths) - 1))

    @staticmethod
    def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
        """As `DenoisingModel`: (B, 77), longer texts cut."""
        return token_ids(tokenizer, texts)

    def read(self, token_ids: Tensor) -> Text:
        """As `DenoisingModel`: hidden states (B, 77, width)."""
        return (self.text_encoder(token_ids)[0],)

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Text) -> tuple[Tensor, Tensor]:
        """As `DenoisingModel`: v, and what the middle block gives."""
        with outputs_of(self.unet.mid_block) as middle:
            prediction: Tensor = self.unet(noisy, timesteps, text[0]).sample
        return prediction, middle[0]

    def placed_for_training(self, place: torch.device) -> None:
        """Move there. The fused CPU kernel's backward is several times slower at these sizes."""
        self.to(place)
        if place.type == "cpu":
            self.unet.set_attn_processor(AttnProcessor())
            self.text_encoder.set_attn_implementation("eager")


def denoiser_recipe(plan: Blueprint) -> Recipe:
    """The UNet as a stage trains it."""
    return Recipe(
        files=DENOISER,
        tokenizer=stage_tokenizer,
        build=partial(TextToLatent, plan),
        watched_steps=25,
    )


def load_denoiser(
    plan: Blueprint, folder: Path, tokenizer: CLIPTokenizer, *, file: str = ""
) -> TextToLatent:
    """A moving average that a stage left in `folder`; by default the last stage's."""
    model = TextToLatent(plan, tokenizer).eval()
    load_checkpoint(model, folder / (file or last_file(folder)))
    return model


def last_file(folder: Path) -> str:
    """What is packed: of the stage `larger` if it is done, else the denoiser's best, else its last.

    Whether `larger` was worth it is decided by the figures at 128 px: their total may fall by at
    most 0.01. Else remove its file.
    """
    if has_finished(folder, "larger") and (folder / LARGER_FILE).exists():
        return LARGER_FILE
    return first_file(folder)


def first_file(folder: Path) -> str:
    """Where later stages begin: the denoiser's best checkpoint, or its last one."""
    return BEST_FILE if (folder / BEST_FILE).exists() else STATE_FILE
