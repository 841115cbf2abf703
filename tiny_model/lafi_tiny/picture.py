"""Compose pictures: one figure, the same one twice, two different ones, or a strip."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from lafi_tiny.attributes import (
    FACINGS,
    Identity,
    Scene,
    different_identity,
    is_held_out_setting,
    random_identity,
    random_setting,
)
from lafi_tiny.figure import OUTLINE, OVERSAMPLE, draw_figure
from lafi_tiny.pose import HIP_HEIGHT, Pose, random_pose
from lafi_tiny.scene import draw_scene

Kind = Literal["single", "twins", "strip", "pair"]
KINDS: dict[Kind, float] = {"single": 0.34, "twins": 0.34, "strip": 0.22, "pair": 0.10}
"""Shares of the kinds in training: one figure; the same character twice in a scene or in
a strip of two panels; two different characters."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One character in a picture. `x` and `ground` in picture units, `facing` left or right."""

    identity: Identity
    action: str
    pose: Pose
    x: float
    ground: float
    scale: float
    facing: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a picture shows; figures from left to right, one scene per panel."""

    kind: Kind
    figures: tuple[Figure, ...]
    scenes: tuple[Scene, ...]
    scene_seed: int


def random_picture(
    rng: np.random.Generator, kind: Kind, *, side: int = 64, held_out: bool = False
) -> Picture:
    """Draw a picture's content; with `held_out`, from the combinations never trained on."""
    first = random_identity(rng, held_out=held_out)
    second = different_identity(rng, first, held_out=held_out) if kind == "pair" else first
    identities = (first,) if kind == "single" else (first, second)
    actions, scenes = _settings(rng, len(identities), strip=kind == "strip", held_out=held_out)
    centres = (0.5,) if kind == "single" else (0.25, 0.75)
    figures = tuple(
        _figure(rng, identity, action, centre, side)
        for identity, action, centre in zip(identities, actions, centres, strict=True)
    )
    return Picture(kind, figures, scenes, int(rng.integers(2**31)))


def _settings(
    rng: np.random.Generator, figures: int, *, strip: bool, held_out: bool
) -> tuple[tuple[str, ...], tuple[Scene, ...]]:
    """Actions and scenes; every figure's (action, scene) is on the wanted side of the split."""
    action, scene = random_setting(rng, held_out=held_out)
    actions, scenes = [action], [scene]
    while len(actions) < figures:
        action, scene = random_setting(rng, held_out=held_out)
        if strip:
            scenes.append(scene)
        elif is_held_out_setting(action, scenes[0]) != held_out:
            continue
        actions.append(action)
    return tuple(actions), tuple(scenes)


def _figure(
    rng: np.random.Generator, identity: Identity, action: str, centre: float, side: int
) -> Figure:
    unit = side / 64
    alone = centre == 0.5
    spread = 10.0 if alone else 1.5
    scale = rng.uniform(0.82, 1.1) if alone else rng.uniform(0.76, 0.9)
    return Figure(
        identity=identity,
        action=action,
        pose=random_pose(rng, action),
        x=side * centre + unit * rng.uniform(-spread, spread),
        ground=unit * rng.uniform(55, 60),
        scale=unit * scale,
        facing=str(rng.choice(FACINGS)),
    )


def render(picture: Picture, side: int = 64) -> Image.Image:
    """RGB image of (side, side) pixels."""
    rng = np.random.default_rng(picture.scene_seed)
    if len(picture.scenes) == 1:
        canvas = draw_scene(picture.scenes[0], side, side, rng)
        for figure in picture.figures:
            _draw(canvas, figure)
    else:
        canvas = _render_strip(picture, side, rng)
    return canvas.reduce(OVERSAMPLE)


def _render_strip(picture: Picture, side: int, rng: np.random.Generator) -> Image.Image:
    canvas = Image.new("RGB", (side * OVERSAMPLE, side * OVERSAMPLE))
    half = side // 2
    for index, (scene, figure) in enumerate(zip(picture.scenes, picture.figures, strict=True)):
        panel = draw_scene(scene, half, side, rng)
        _draw(panel, figure, shift=-index * half)
        canvas.paste(panel, (index * half * OVERSAMPLE, 0))
    middle, line = half * OVERSAMPLE, OVERSAMPLE
    ImageDraw.Draw(canvas).rectangle(
        (middle - line, 0, middle + line - 1, canvas.height), fill=(255, 255, 255)
    )
    return canvas


def _draw(canvas: Image.Image, figure: Figure, shift: float = 0.0) -> None:
    if figure.action == "sitting":
        _stool(canvas, figure, shift)
    draw_figure(
        canvas,
        figure.identity,
        figure.pose,
        x=figure.x + shift,
        ground=figure.ground,
        scale=figure.scale,
        facing=figure.facing,
    )


def _stool(canvas: Image.Image, figure: Figure, shift: float) -> None:
    x, s = figure.x + shift, figure.scale
    top = figure.ground - s * (HIP_HEIGHT + figure.pose.lift - 3.0)
    draw = ImageDraw.Draw(canvas)
    for grow, colour in ((0.75, OUTLINE), (0.0, (150, 104, 66))):
        box = (x - (5 + grow) * s, top - grow * s, x + (5 + grow) * s, figure.ground + grow * s)
        draw.rectangle([round(v * OVERSAMPLE) for v in box], fill=colour)
