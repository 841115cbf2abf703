"""The reference: a character's picture as the denoiser sees it, with one fixed noise.

Knows latents and masks, not storyboards. What it gives to panels is a function of (picture,
caption, timestep).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lafi.conditioning.prompts import PLAIN, TextReading
from lafi.ports.engines import EncodedText
from lafi.sampling.noise_model import NoiseModel

ReferenceNoise = Literal["panel"] | float


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A character's picture, encoded once, whichever storyboard brought it.

    content  SHA-256 of the picture's file, or of a drawn portrait's pixels, hexadecimal
    caption  the character's text
    latents  (C, h, w) float32, scaled mean of the VAE
    noise    (C, h, w) float32
    mask     (h, w) float32 in [0, 1], the foreground
    text     the encoded caption
    reading  how the caption was encoded

    Two are equal if content, caption, its reading and size are, since the rest follows from these.
    """

    content: str
    caption: str
    latents: Tensor
    noise: Tensor
    mask: Tensor
    text: EncodedText
    reading: TextReading = PLAIN

    @property
    def key(self) -> tuple[str, str, TextReading, tuple[int, int]]:
        """Content, caption and how it is read, and latent height and width."""
        height, width = self.latents.shape[-2:]
        return self.content, self.caption, self.reading, (height, width)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def at(self, timestep: float, process: NoiseModel) -> Tensor:
        """(C, h, w) float32: the picture with its fixed noise at `timestep`."""
        return process.noised(self.latents, self.noise, timestep)


class Source(NamedTuple):
    """A reference at a timestep, as panels read it.

    fixed: whether the timestep is the same at every step of a panel, so that what the reference
    gives can be kept.
    """

    reference: Reference
    timestep: float
    fixed: bool


def noise_seed(sha256: str) -> int:
    """The first 8 bytes of a SHA-256 (hexadecimal), such as an image file's, big-endian."""
    return int(sha256[:16], 16)


def fixed_noise(seed: int, shape: tuple[int, int, int]) -> Tensor:
    """Standard normal noise (C, h, w) float32, drawn on the CPU."""
    return torch.randn(shape, generator=torch.Generator(device="cpu").manual_seed(seed))


def latent_mask(mask: Tensor, vae_scale: int) -> Tensor:
    """Foreground weights (H, W) in pixels -> (h, w) at latent size, by area average."""
    return F.avg_pool2d(mask[None, None], vae_scale)[0, 0]


def reference_timestep(
    setting: ReferenceNoise, panel_timestep: float, process: NoiseModel
) -> float:
    """The timestep at which a reference is read: the panel's, or a fixed share of the training's.

    setting: "panel", or a number in [0, 1] where 1 is the last training timestep.
    """
    if setting == "panel":
        return panel_timestep
    return process.timestep_of(setting)
