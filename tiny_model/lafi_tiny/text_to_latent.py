"""The two networks that are trained together, their tokenizer, and how to load all three."""

from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from lafi_tiny.architecture import Architecture, build_text_encoder, build_unet
from lafi_tiny.dataset import DatasetSpec
from lafi_tiny.tokenizer import build_tokenizer

WEIGHTS_FILE = "denoiser.pt"


class TextToLatent(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, arch: Architecture, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet(arch)
        self.text_encoder: CLIPTextModel = build_text_encoder(arch, tokenizer)

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        """(B, C, h, w), (B,), (B, T) -> predicted v (B, C, h, w)."""
        text = self.text_encoder(token_ids)[0]
        prediction: Tensor = self.unet(noisy, timesteps, text).sample
        return prediction


def stage_tokenizer(folder: Path, spec: DatasetSpec | None = None) -> CLIPTokenizer:
    """The tokenizer kept in `folder`; with a spec it is made of 5,000 captions if it is missing.

    It is kept with the weights: its ids mean nothing to weights trained with another one.
    """
    kept = folder / "tokenizer"
    if not kept.exists():
        if spec is None:
            raise FileNotFoundError(f"no tokenizer in {folder}: run `python -m lafi_tiny denoiser`")
        rng = np.random.default_rng([spec.seed, 1])
        build_tokenizer(spec.caption(i, rng) for i in range(5000)).save_pretrained(kept)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(kept)
    return tokenizer


def load_denoiser(arch: Architecture, folder: Path) -> TextToLatent:
    """The moving average that the stage left in `folder`, ready to draw with."""
    model = TextToLatent(arch, stage_tokenizer(folder)).eval()
    state = torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True)
    model.load_state_dict(state["average"])
    return model
