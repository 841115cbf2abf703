"""What the stages ask of any text-to-image network that is trained here.

Knows latents, noise and token ids; which networks read and predict is a subclass's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.stages.noise import NoiseModel
from lafi_tiny.stages.reader import CLASSES

Text = tuple[Tensor, ...]
"""What the network reads of a text; the first axis of each tensor is that of the texts."""


@dataclass(frozen=True, slots=True)
class MiddleShape:
    """Features (B, channels, side, side) that the network has halfway."""

    channels: int
    side: int


class DenoisingModel(nn.Module, ABC):
    """Networks that are trained together to take noise from latents that a text describes.

    latent_shape: (C, h, w) of a picture at the model's own side.
    """

    noise: NoiseModel
    latent_shape: tuple[int, int, int]
    middle: MiddleShape

    @staticmethod
    @abstractmethod
    def token_ids(tokenizer: Any, texts: list[str]) -> Tensor:
        """What `read` takes: int64 (B, ...), longer texts cut or refused."""

    @abstractmethod
    def read(self, token_ids: Tensor) -> Text:
        """Texts as `predict` reads them."""

    @abstractmethod
    def predict(self, noisy: Tensor, timesteps: Tensor, text: Text) -> tuple[Tensor, Tensor]:
        """(B, C, h, w), timesteps (B,) or () -> the noise model's target, and middle features."""

    @abstractmethod
    def placed_for_training(self, place: torch.device) -> None:
        """Move there, and take the attention whose backward pass is fast there."""

    def compile_blocks(self) -> None:
        """Compile what is called often, which takes minutes; nothing by default."""

    def forward(self, noisy: Tensor, timesteps: Tensor, token_ids: Tensor) -> Tensor:
        """(B, C, h, w), (B,), token ids -> the noise model's target (B, C, h, w)."""
        return self.predict(noisy, timesteps, self.read(token_ids))[0]


@dataclass(frozen=True, slots=True)
class StageFiles:
    """A stage's name, and the names of its files in the training folder.

    state   everything that a later run needs
    best    moving average with the best figures
    curve   figures against pictures seen
    finish  from which step on the learning rate falls
    figures all figures of the best checkpoint
    """

    name: str
    state: str
    best: str
    curve: str
    finish: str
    figures: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model that a stage trains.

    tokenizer: (folder, seed) -> the one kept in the folder, made there if it is missing.
    build: the model with random weights, from its tokenizer.
    watched_steps: of the sampler, for the curve.
    """

    files: StageFiles
    tokenizer: Callable[[Path, int], Any]
    build: Callable[[Any], DenoisingModel]
    watched_steps: int


class Namer(nn.Module):
    """Names what each of two sides of a picture shows, from the network's middle features.

    Only used in training: what is known exactly of every picture helps features along.
    """

    def __init__(self, middle: MiddleShape) -> None:
        super().__init__()
        self.columns = middle.side // 2
        width = middle.channels * middle.side * self.columns
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({k: nn.Linear(width, len(v)) for k, v in CLASSES.items()})
        self.angles = nn.Linear(width, 2 * len(ANGLES))

    def forward(self, middle: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Features (B, C, s, s) -> logits (2 B, n), first all left sides; (2 B, angles, 2)."""
        left, right = middle[..., : self.columns], middle[..., -self.columns :]
        features = self.norm(torch.cat([left.flatten(1), right.flatten(1)]))
        logits = {name: head(features) for name, head in self.heads.items()}
        return logits, self.angles(features).view(len(features), -1, 2)


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Every output of a module while this lasts."""
    outputs: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


def load_recipe(recipe: Recipe, folder: Path) -> tuple[DenoisingModel, Any]:
    """The best checkpoint of a recipe's stage, or its last one, and its tokenizer."""
    tokenizer = recipe.tokenizer(folder, 0)
    model = recipe.build(tokenizer).eval()
    best, last = folder / recipe.files.best, folder / recipe.files.state
    return load_checkpoint(model, best if best.exists() else last), tokenizer


def load_checkpoint(model: DenoisingModel, file: Path) -> DenoisingModel:
    """Read a moving average into the model."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict({k: v.float() for k, v in state["average"].items()})
    return model
