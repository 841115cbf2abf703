"""What the reader should find in a picture, and what is not to be asked of it."""

import math

import numpy as np
import torch
from torch import Tensor

from lafi_tiny.hand.attributes import IDENTITY_NAMES, Scene
from lafi_tiny.hand.figure import Figure
from lafi_tiny.hand.picture import Picture
from lafi_tiny.hand.pose import ANGLES
from lafi_tiny.hand.visibility import HAPPENING, visible_attributes, visible_joints
from lafi_tiny.stages.reader import CLASSES, columns

UNSEEN = -1
"""Class index of what a picture does not show; cross entropy ignores it."""


def names_shown(picture: Picture, index: int, *, posed: bool = True) -> dict[str, str]:
    """Name per class of what the picture shows of figure `index` and its scene.

    Without `posed`, the pose is a free one and no action is asked for.
    """
    figure, scene = picture.figures[index], scene_of(picture, index)
    seen = visible_attributes(picture, figure)
    shown = {k: getattr(figure.identity, k) for k in IDENTITY_NAMES if k in seen}
    shown |= {k: getattr(figure, k) for k in HAPPENING if k in seen}
    shown |= {"place": scene.place, "light": scene.light}
    if picture.kind == "single":
        shown["framing"] = picture.framing
    if not posed:
        shown.pop("action")
    return shown


def scene_of(picture: Picture, index: int) -> Scene:
    """The scene in which figure `index` is."""
    return picture.scenes[index if len(picture.scenes) > 1 else 0]


class Targets:
    """Class indices (B,), angles (B, angles, 2) and which of them count (B, angles)."""

    def __init__(self) -> None:
        self.columns: dict[str, list[int]] = {name: [] for name in CLASSES}
        self.radians: list[list[float]] = []
        self.counts: list[list[bool]] = []

    def add(self, picture: Picture, index: int, *, posed: bool = True) -> None:
        """Append what figure `index` of a picture shows."""
        shown = names_shown(picture, index, posed=posed)
        for name, choices in CLASSES.items():
            found = choices.index(shown[name]) if name in shown else UNSEEN
            self.columns[name].append(found)
        figure: Figure = picture.figures[index]
        joints = visible_joints(picture, figure)
        self.radians.append([math.radians(getattr(figure.pose, name)) for name in ANGLES])
        self.counts.append([name in joints for name in ANGLES])

    def classes(self) -> dict[str, Tensor]:
        """Class indices, `UNSEEN` where the picture does not show it."""
        return {name: torch.tensor(rows) for name, rows in self.columns.items()}

    def circle(self) -> Tensor:
        """Sine and cosine of the joint angles."""
        radians = torch.tensor(self.radians)
        return torch.stack([radians.sin(), radians.cos()], dim=-1)

    def counted(self) -> Tensor:
        """1 where a joint can be seen, else 0."""
        return torch.tensor(self.counts, dtype=torch.float32)


def views_of_one(
    images: Tensor, pictures: list[Picture], posed: list[bool], rng: np.random.Generator
) -> tuple[Tensor, Targets]:
    """One figure per row: the whole picture of a single one, else the column of any figure."""
    rows, targets = [], Targets()
    for image, picture, named in zip(images, pictures, posed, strict=True):
        count = len(picture.figures)
        index = int(rng.integers(count))
        rows.append(image if count == 1 else columns(image[None], count)[index][0])
        targets.add(picture, index, posed=named)
    return torch.stack(rows), targets
