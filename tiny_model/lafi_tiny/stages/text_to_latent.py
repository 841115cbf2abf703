"""The networks that are trained together: UNet, text encoder and heads that name what is drawn."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.stages.blueprint import Blueprint, build_text_encoder, build_unet
from lafi_tiny.stages.reader import CLASSES
from lafi_tiny.stages.stage_folder import has_finished

STATE_FILE = "denoiser.pt"
BEST_FILE = "denoiser_best.pt"
LARGER_FILE = "larger.pt"


class Namer(nn.Module):
    """Names what each of two sides of a picture shows, from the UNet's middle features.

    Only used in training: what is known exactly of every picture helps features along.
    """

    def __init__(self, plan: Blueprint) -> None:
        super().__init__()
        levels = len(plan.unet_widths)
        side = plan.side // plan.factor // 2 ** (levels - 1)
        self.columns = side // 2
        width = plan.unet_widths[-1] * side * self.columns
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({k: nn.Linear(width, len(v)) for k, v in CLASSES.items()})
        self.angles = nn.Linear(width, 2 * len(ANGLES))

    def forward(self, middle: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Features (B, C, s, s) -> logits (2 B, n), first all left sides; (2 B, angles, 2)."""
        left, right = middle[..., : self.columns], middle[..., -self.columns :]
        features = self.norm(torch.cat([left.flatten(1), right.flatten(1)]))
        logits = {name: head(features) for name, head in self.heads.items()}
        return logits, self.angles(features).view(len(features), -1, 2)


class TextToLatent(nn.Module):
    """The networks that are trained together."""

    def __init__(self, plan: Blueprint, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet: UNet2DConditionModel = build_unet(plan)
        self.text_encoder: CLIPTextModel = build_text_encoder(plan, tokenizer)

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        """(B, C, h, w), (B,), (B, T) -> predicted v (B, C, h, w)."""
        text = self.text_encoder(token_ids)[0]
        prediction: Tensor = self.unet(noisy, timesteps, text).sample
        return prediction

    def placed_for_training(self, place: torch.device) -> None:
        """Move there. The fused CPU kernel's backward is several times slower at these sizes."""
        self.to(place)
        if place.type == "cpu":
            self.unet.set_attn_processor(AttnProcessor())
            self.text_encoder.set_attn_implementation("eager")


class MiddleFeatures:
    """Keeps what the UNet's middle block gave in the last forward pass, for one loss."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.features: Tensor | None = None
        unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self.features = output

    def take(self) -> Tensor:
        """The features of the last pass (B, C, s, s), once."""
        if self.features is None:
            raise RuntimeError("features: got none, allowed: after a forward pass")
        features, self.features = self.features, None
        return features


def load_denoiser(
    plan: Blueprint, folder: Path, tokenizer: CLIPTokenizer, *, file: str = ""
) -> TextToLatent:
    """A moving average that a stage left in `folder`; by default the last stage's."""
    model = TextToLatent(plan, tokenizer).eval()
    state = torch.load(folder / (file or last_file(folder)), map_location="cpu", weights_only=True)
    model.load_state_dict({k: v.float() for k, v in state["average"].items()})
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
