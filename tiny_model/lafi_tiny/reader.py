"""Read identity, action, scene and joint angles back from a picture of one figure.

The reader is what makes consistency measurable without pretrained weights. It is
trained on renders only, never on drawn pictures, and its own error on fresh renders
that went through the VAE is the floor of every figure measured with it.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lafi_tiny.attributes import (
    ACTIONS,
    BACKGROUNDS,
    FACINGS,
    IDENTITY_CHOICES,
    TIMES,
    Identity,
    Scene,
)
from lafi_tiny.picture import Figure
from lafi_tiny.pose import ANGLES
from lafi_tiny.training import load_half

CLASSES: dict[str, tuple[str, ...]] = {
    **IDENTITY_CHOICES,
    "action": ACTIONS,
    "background": BACKGROUNDS,
    "time": TIMES,
    "facing": FACINGS,
}
"""Every attribute that is read as one of a few names."""

IDENTITY_NAMES = tuple(IDENTITY_CHOICES)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader sees: one name per class, and joint angles in degrees."""

    names: dict[str, str]
    angles: dict[str, float]

    @property
    def identity(self) -> Identity:
        """The eight identity attributes."""
        return Identity(**{k: self.names[k] for k in IDENTITY_NAMES})

    @property
    def action(self) -> str:
        """The named action."""
        return self.names["action"]

    @property
    def scene(self) -> Scene:
        """Background and time of day."""
        return Scene(self.names["background"], self.names["time"])


class Reader(nn.Module):
    """A small convolutional network over RGB (B, 3, 64, 64) in [-1, 1]."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (width, 2 * width, 3 * width, 4 * width)
        layers: list[nn.Module] = []
        previous = 3
        for w in widths:
            layers += [
                nn.Conv2d(previous, w, 3, stride=1 if previous == 3 else 2, padding=1),
                nn.GroupNorm(8, w),
                nn.SiLU(),
                nn.Conv2d(w, w, 3, stride=2 if previous == 3 else 1, padding=1),
                nn.GroupNorm(8, w),
                nn.SiLU(),
            ]
            previous = w
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(widths[-1] * 16, 256)
        self.heads = nn.ModuleDict({k: nn.Linear(256, len(v)) for k, v in CLASSES.items()})
        self.angles = nn.Linear(256, 2 * len(ANGLES))

    def forward(self, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits per class (B, n) and (B, angles, 2): sine and cosine of the joint angles."""
        features = F.silu(self.hidden(self.features(images).flatten(1)))
        logits = {name: head(features) for name, head in self.heads.items()}
        return logits, self.angles(features).view(len(images), -1, 2)

    @torch.inference_mode()
    def read(self, images: Tensor) -> list[Reading]:
        """One reading per picture; images (B, 3, 64, 64) in [-1, 1]."""
        logits, circle = self(images)
        chosen = {name: values.argmax(1).tolist() for name, values in logits.items()}
        degrees = torch.atan2(circle[..., 0], circle[..., 1]).rad2deg()
        return [
            Reading(
                names={name: CLASSES[name][rows[i]] for name, rows in chosen.items()},
                angles=dict(zip(ANGLES, degrees[i].tolist(), strict=True)),
            )
            for i in range(len(images))
        ]


def halves(images: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right half of (B, 3, H, W), each padded with grey to (B, 3, H, W)."""
    quarter = images.shape[-1] // 4
    left, right = images.chunk(2, dim=-1)
    return F.pad(left, (quarter, quarter)), F.pad(right, (quarter, quarter))


def targets(figures: list[Figure], scenes: list[Scene]) -> tuple[dict[str, Tensor], Tensor]:
    """Class indices (B,) and angles (B, angles, 2) that the reader should find."""
    columns: dict[str, list[int]] = {name: [] for name in CLASSES}
    for figure, scene in zip(figures, scenes, strict=True):
        values = {
            **{k: getattr(figure.identity, k) for k in IDENTITY_NAMES},
            "action": figure.action,
            "background": scene.background,
            "time": scene.time,
            "facing": figure.facing,
        }
        for name, value in values.items():
            columns[name].append(CLASSES[name].index(value))
    radians = torch.tensor(
        [[math.radians(getattr(f.pose, name)) for name in ANGLES] for f in figures]
    )
    circle = torch.stack([radians.sin(), radians.cos()], dim=-1)
    return {name: torch.tensor(rows) for name, rows in columns.items()}, circle


def load_reader(path: Path) -> Reader:
    """Read what the stage `reader` wrote; computes in float32."""
    return load_half(Reader(), path)
