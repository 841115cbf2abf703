"""Compose pictures: one to three figures, the same one twice, or a strip of two panels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from lafi_tiny.hand.attributes import (
    ARM_ACTIONS,
    EXPRESSIONS,
    FACINGS,
    PROPS,
    Identity,
    Scene,
    different_identity,
    is_held_out_setting,
    pick,
    pick_weighted,
    random_identity,
    random_setting,
)
from lafi_tiny.hand.figure import Figure, draw_figure, draw_floating, outline
from lafi_tiny.hand.pen import OVERSAMPLE, UNITS, Pen
from lafi_tiny.hand.places import GROUND, draw_place
from lafi_tiny.hand.pose import HIP_HEIGHT, NECK_TO_HEAD, TORSO, free_pose, random_pose
from lafi_tiny.hand.sky import FIGURE_LIGHT, PLACE_LIGHT

Kind = Literal["single", "twins", "strip", "pair", "trio"]
KINDS: dict[str, float] = {
    "single": 0.42,
    "twins": 0.22,
    "strip": 0.14,
    "pair": 0.14,
    "trio": 0.08,
}
"""Shares of the kinds in training: one figure; the same character twice in a scene or in
a strip of two panels; two or three different characters."""
FRAMING_SHARES = {"medium": 0.64, "near": 0.20, "far": 0.16}
VIEW_SHARES = {"front": 0.64, "side": 0.18, "back": 0.18}
PROP_SHARES = {name: 0.40 if name == "none" else 0.12 for name in PROPS}
SIDE = 128
"""Side in pixels of the bundled model's pictures."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a picture shows; figures from left to right, one scene per panel.

    `framing` is near (half portraits), medium or far; pictures of several are medium.
    """

    kind: str
    figures: tuple[Figure, ...]
    scenes: tuple[Scene, ...]
    scene_seed: int
    framing: str = "medium"
    horizon: float = 80.0


def random_picture(
    rng: np.random.Generator, kind: str, *, held_out: bool = False, free: bool = False
) -> Picture:
    """Draw a picture's content; with `held_out`, from the combinations never trained on.

    With `free`, joints are in no named action's places: for readers, not for captions.
    """
    identities = _identities(rng, kind, held_out)
    actions, scenes = _settings(rng, len(identities), strip=kind == "strip", held_out=held_out)
    framing = pick_weighted(rng, FRAMING_SHARES) if kind == "single" else "medium"
    if framing == "near" and actions[0] not in ARM_ACTIONS:
        framing = "medium"
    count = len(identities)
    horizon = rng.uniform(74, 86) if framing == "medium" else rng.uniform(66, 78)
    figures = tuple(
        _figure(rng, who, action, (index + 0.5) / count, framing, count, free)
        for index, (who, action) in enumerate(zip(identities, actions, strict=True))
    )
    return Picture(kind, figures, scenes, int(rng.integers(2**31)), framing, horizon)


def plain_picture(
    rng: np.random.Generator,
    identity: Identity,
    action: str,
    scene: Scene,
    *,
    view: str = "front",
    expression: str = "neutral",
) -> Picture:
    """One whole figure with nothing in its hands, near enough that its looks can be seen.

    It is what a caption means that says no more than who, what and where.
    """
    x, ground, scale = _placed(rng, "medium", 1, 0.5)
    pose, facing = random_pose(rng, action), pick(rng, FACINGS)
    figure = Figure(identity, action, pose, x, ground, scale, facing, view, expression)
    horizon = rng.uniform(74, 86)
    return Picture("single", (figure,), (scene,), int(rng.integers(2**31)), "medium", horizon)


def _identities(rng: np.random.Generator, kind: str, held_out: bool) -> tuple[Identity, ...]:
    first = random_identity(rng, held_out=held_out)
    if kind in ("twins", "strip"):
        return first, first
    others: tuple[Identity, ...] = (first,)
    for _ in range({"single": 0, "pair": 1, "trio": 2}[kind]):
        others = (*others, different_identity(rng, others, held_out=held_out))
    return others


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
    rng: np.random.Generator,
    identity: Identity,
    action: str,
    centre: float,
    framing: str,
    count: int,
    free: bool,
) -> Figure:
    prop = pick_weighted(rng, PROP_SHARES)
    x, ground, scale = _placed(rng, framing, count, centre)
    pose = free_pose(rng) if free else random_pose(rng, action, prop)
    return Figure(
        identity=identity,
        action=action,
        pose=pose,
        x=x,
        ground=ground,
        scale=scale,
        facing=pick(rng, FACINGS),
        view=pick_weighted(rng, VIEW_SHARES),
        expression=pick(rng, EXPRESSIONS),
        prop=prop,
    )


def _placed(
    rng: np.random.Generator, framing: str, count: int, centre: float
) -> tuple[float, float, float]:
    """Where a figure stands, x and ground, and its scale."""
    if count > 1:
        scale = rng.uniform(0.76, 0.9) if count == 2 else rng.uniform(0.62, 0.7)
        spread = 3.0 if count == 2 else 1.5
        return UNITS * centre + rng.uniform(-spread, spread), rng.uniform(110, 120), scale
    if framing == "near":
        scale = rng.uniform(1.7, 2.05)
        head = rng.uniform(50, 60)
        ground = head + scale * (HIP_HEIGHT + TORSO + NECK_TO_HEAD)
        return UNITS / 2 + rng.uniform(-12, 12), ground, scale
    if framing == "far":
        return rng.uniform(34, 94), rng.uniform(94, 110), rng.uniform(0.48, 0.6)
    return UNITS / 2 + rng.uniform(-18, 18), rng.uniform(112, 121), rng.uniform(0.95, 1.2)


def render(picture: Picture, side: int = SIDE) -> Image.Image:
    """RGB image of (side, side) pixels; the same picture whatever the side."""
    rng = np.random.default_rng(picture.scene_seed)
    panels = len(picture.scenes)
    canvas = Image.new("RGB", (side * OVERSAMPLE, side * OVERSAMPLE))
    per_unit = side * OVERSAMPLE / UNITS
    share = len(picture.figures) // panels
    for index, scene in enumerate(picture.scenes):
        panel = canvas
        if panels > 1:
            panel = Image.new("RGB", (canvas.width // panels, canvas.height))
        pen = Pen(panel, per_unit)
        draw_place(pen, scene, UNITS / panels, picture.horizon, rng)
        pen.left = index * UNITS / panels
        _draw(pen, picture.figures[index * share : (index + 1) * share], scene)
        if panels > 1:
            canvas.paste(panel, (index * panel.width, 0))
    if panels > 1:
        middle, line = canvas.width // 2, round(1.5 * per_unit)
        gap = (middle - line, 0, middle + line - 1, canvas.height)
        ImageDraw.Draw(canvas).rectangle(gap, fill=(255, 255, 255))
    return canvas.reduce(OVERSAMPLE)


def _draw(pen: Pen, figures: tuple[Figure, ...], scene: Scene) -> None:
    """Shadows first, then what floats and stools, then the figures from left to right."""
    pen.light = PLACE_LIGHT[scene.light]
    r, g, b = (round(0.84 * c) for c in GROUND[scene.place])
    for figure in figures:
        s = figure.scale
        pen.oval((figure.x, figure.ground + 2.6 * s), 15 * s, 3.6 * s, (r, g, b))
    pen.light = FIGURE_LIGHT[scene.light]
    for figure in figures:
        draw_floating(pen, figure)
        if figure.action == "sitting":
            _stool(pen, figure)
    for figure in figures:
        draw_figure(pen, figure)


def _stool(pen: Pen, figure: Figure) -> None:
    s, x = figure.scale, figure.x
    top = figure.ground - s * (HIP_HEIGHT + figure.pose.lift - 6.0)
    low = figure.ground + 1.6 * s
    pen.line = outline(figure)
    for side in (-1, 1):
        leg = [(x + side * 6.5 * s, top), (x + side * 7.5 * s, low)]
        pen.shape([(leg, 1.5 * s)], (150, 104, 66))
    pen.shape([([(x - 8.5 * s, top), (x + 8.5 * s, top)], 2.4 * s)], (178, 126, 80))
