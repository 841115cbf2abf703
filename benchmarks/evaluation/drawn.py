"""Pairs from the data set of the bundled model, and its reader.

Targets and identities are from the held-out side of the data set. Knows the drawn characters, not
how panels are drawn.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.evaluation.pairs import Group, Pixels, ReferencePicture, Shown, Target
from lafi_tiny.attributes import Identity, random_identity, random_setting
from lafi_tiny.caption import IDENTITY_NAMES, describe, plain_caption
from lafi_tiny.figure import OVERSAMPLE, draw_figure
from lafi_tiny.picture import Figure, Picture, random_picture, render
from lafi_tiny.pose import ANGLES, CENTRES, Pose, random_pose
from lafi_tiny.reader import Reader, load_reader
from lafi_tiny.training import from_pixels

TARGETS = 4
"""Panels of one character."""
TRUTHS = 4
"""Real pictures of one target."""
CAPTION = "a child"
READER_FILE = Path("tiny_model/reader.safetensors")


class DrawnReader:
    """`PanelReader` with the bundled reader, which reads 64 pixels a side."""

    side = 64

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, pixels: Pixels) -> list[Shown]:
        """RGB uint8 (N, 64, 64, 3) -> one reading each; angles rounded to 0.01 degrees.

        The rounding hides torch's last bits, which differ from run to run.
        """
        readings = [
            reading
            for start in range(0, len(pixels), 64)
            for reading in self._reader.read(from_pixels(pixels[start : start + 64]))
        ]
        return [
            Shown(
                identity=asdict(reading.identity),
                action=reading.action,
                background=reading.scene.background,
                time=reading.scene.time,
                angles=tuple(round(reading.angles[name], 2) for name in ANGLES),
            )
            for reading in readings
        ]


def drawn_reader() -> DrawnReader:
    """The reader beside the bundled model's weights."""
    return DrawnReader(load_reader(READER_FILE))


def drawn_groups(first: int, count: int, *, seed: int, side: int) -> Sequence[Group]:
    """One held-out character per group, with two references and four held-out targets."""
    return [
        _group(np.random.default_rng([seed, 8, i]), side, i) for i in range(first, first + count)
    ]


def _group(rng: np.random.Generator, side: int, index: int) -> Group:
    identity = random_identity(rng, held_out=True)
    return Group(
        reference=_reference(_picture_of(rng, identity, side), side),
        second=_reference(_picture_of(rng, identity, side), side),
        caption=CAPTION,
        description=describe(identity, IDENTITY_NAMES),
        targets=tuple(
            _target(rng, identity, side, seed=10_000 + TARGETS * index + i) for i in range(TARGETS)
        ),
    )


def _picture_of(rng: np.random.Generator, identity: Identity, side: int) -> Picture:
    """A held-out action in a held-out scene, somewhere in the picture."""
    picture = random_picture(rng, "single", side=side, held_out=True)
    return replace(picture, figures=(replace(picture.figures[0], identity=identity),))


def _reference(picture: Picture, side: int) -> ReferencePicture:
    image, alpha = render(picture, side), _foreground(picture.figures[0], side)
    masked = image.copy()
    masked.putalpha(alpha)
    return ReferencePicture(_shown(picture), _png(image), _png(masked))


def _target(rng: np.random.Generator, identity: Identity, side: int, seed: int) -> Target:
    action, scene = random_setting(rng, held_out=True)
    truths = []
    for _ in range(TRUTHS):
        figure = random_picture(rng, "single", side=side).figures[0]
        figure = replace(figure, identity=identity, action=action, pose=random_pose(rng, action))
        picture = Picture("single", (figure,), (scene,), int(rng.integers(2**31)))
        truths.append(np.asarray(render(picture, side)))
    return Target(
        shown=Shown(
            identity=asdict(identity),
            action=action,
            background=scene.background,
            time=scene.time,
            angles=_angles(CENTRES[action]),
        ),
        prompt=plain_caption(action, scene, who="{who}"),
        seed=seed,
        truth=tuple(truths),
    )


def _shown(picture: Picture) -> Shown:
    figure, scene = picture.figures[0], picture.scenes[0]
    return Shown(
        identity=asdict(figure.identity),
        action=figure.action,
        background=scene.background,
        time=scene.time,
        angles=_angles(figure.pose),
    )


def _angles(pose: Pose) -> tuple[float, ...]:
    return tuple(getattr(pose, name) for name in ANGLES)


def _foreground(figure: Figure, side: int) -> Image.Image:
    """Coverage of the figure, L (side, side): where two different backgrounds give the same."""
    canvases = []
    for colour in ((255, 0, 255), (0, 255, 0)):
        canvas = Image.new("RGB", (side * OVERSAMPLE, side * OVERSAMPLE), colour)
        draw_figure(
            canvas,
            figure.identity,
            figure.pose,
            x=figure.x,
            ground=figure.ground,
            scale=figure.scale,
            facing=figure.facing,
        )
        canvases.append(np.asarray(canvas))
    covered = (canvases[0] == canvases[1]).all(axis=2)
    return Image.fromarray(np.where(covered, 255, 0).astype(np.uint8)).reduce(OVERSAMPLE)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
