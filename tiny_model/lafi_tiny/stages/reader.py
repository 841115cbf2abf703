"""Read identity, what happens, scene and joint angles back from a picture of one figure.

The reader is what makes consistency measurable without pretrained weights. It is trained
on renders only, never on drawn pictures, and its own error on fresh renders that went
through the autoencoder is the floor of every figure measured with it.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lafi_tiny.hand.attributes import (
    ACTIONS,
    EXPRESSIONS,
    FACINGS,
    FRAMINGS,
    IDENTITY_CHOICES,
    IDENTITY_NAMES,
    LIGHTS,
    PLACES,
    PROPS,
    VIEWS,
    Identity,
    Scene,
)
from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.hand.visibility import visible_looks
from lafi_tiny.training import load_half

CLASSES: dict[str, tuple[str, ...]] = {
    **IDENTITY_CHOICES,
    "action": ACTIONS,
    "expression": EXPRESSIONS,
    "prop": PROPS,
    "view": VIEWS,
    "facing": FACINGS,
    "place": PLACES,
    "light": LIGHTS,
    "framing": FRAMINGS,
}
"""Every attribute that is read as one of a few names."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader sees: one name per class, and joint angles in degrees."""

    names: dict[str, str]
    angles: dict[str, float]

    @property
    def identity(self) -> Identity:
        """The nine identity attributes."""
        return Identity(**{k: self.names[k] for k in IDENTITY_NAMES})

    @property
    def action(self) -> str:
        """The named action."""
        return self.names["action"]

    @property
    def scene(self) -> Scene:
        """Place and light."""
        return Scene(self.names["place"], self.names["light"])

    @property
    def visible(self) -> frozenset[str]:
        """Identity attributes that can be seen, if the rest is as it was read."""
        looks = visible_looks(self.identity, self.names["view"], self.names["framing"])
        return frozenset(looks)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.body(x))


class Reader(nn.Module):
    """A small residual network over RGB (B, 3, 128, 128) in [-1, 1]."""

    def __init__(
        self,
        widths: tuple[int, ...] = (24, 48, 96, 160, 192),
        depths: tuple[int, ...] = (0, 1, 2, 2, 1),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for width, depth in zip(widths, depths, strict=True):
            down = nn.Conv2d(previous, width, 3, stride=2, padding=1)
            layers += [down, nn.GroupNorm(8, width), nn.SiLU()]
            layers += [_Residual(width) for _ in range(depth)]
            previous = width
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(widths[-1] * 16, 384)
        self.heads = nn.ModuleDict({k: nn.Linear(384, len(v)) for k, v in CLASSES.items()})
        self.angles = nn.Linear(384, 2 * len(ANGLES))

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits per class (B, n) and (B, angles, 2): sine and cosine of the joint angles."""
        features = F.silu(self.hidden(self.features(images).flatten(1)))
        logits = {name: head(features) for name, head in self.heads.items()}
        return logits, self.angles(features).view(len(images), -1, 2)

    @torch.inference_mode()
    def read(self, images: Tensor) -> list[Reading]:
        """One reading per picture; images (B, 3, 128, 128) in [-1, 1]."""
        parts = [self(images[i : i + 64]) for i in range(0, len(images), 64)]
        chosen = {
            name: torch.cat([logits[name].argmax(1) for logits, _ in parts]).tolist()
            for name in CLASSES
        }
        circle = torch.cat([angles for _, angles in parts])
        degrees = torch.atan2(circle[..., 0], circle[..., 1]).rad2deg()
        return [
            Reading(
                names={name: CLASSES[name][rows[i]] for name, rows in chosen.items()},
                angles=dict(zip(ANGLES, degrees[i].tolist(), strict=True)),
            )
            for i in range(len(images))
        ]


def columns(images: Tensor, count: int) -> list[Tensor]:
    """The `count` columns of (B, 3, H, W) from left to right, each padded with grey to (H, W)."""
    width = images.shape[-1]
    edges = [round(i * width / count) for i in range(count + 1)]
    padded = []
    for left, right in pairwise(edges):
        before = (width - (right - left)) // 2
        after = width - (right - left) - before
        padded.append(F.pad(images[..., left:right], (before, after)))
    return padded


def halves(images: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right half of (B, 3, H, W), each padded with grey to (B, 3, H, W)."""
    left, right = columns(images, 2)
    return left, right


def load_reader(path: Path) -> Reader:
    """Read what the stage `reader` wrote; computes in float32."""
    return load_half(Reader(), path)
