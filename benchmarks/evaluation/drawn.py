"""Pairs from the data set of the bundled model, and its reader.

Targets and identities are from the held-out side of the data set. Knows the drawn characters, not
how panels are drawn.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.evaluation.pairs import Group, Pixels, ReferencePicture, Shown, Target
from lafi_tiny.hand.attributes import Identity, random_identity, random_setting
from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.hand.figure import Figure, draw_figure
from lafi_tiny.hand.looks import describe
from lafi_tiny.hand.pen import OVERSAMPLE, UNITS, Pen
from lafi_tiny.hand.picture import SIDE, Picture, plain_picture, render
from lafi_tiny.hand.pose import ANGLES, CENTRES, Pose
from lafi_tiny.hand.visibility import visible_attributes, visible_looks
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.training import from_pixels

TARGETS = 4
"""Panels of one character."""
TRUTHS = 4
"""Real pictures of one target."""
CAPTION = "a child"
READER_FILE = Path("tiny_model/reader.safetensors")


class DrawnReader:
    """`PanelReader` with the bundled reader, which reads 128 pixels a side."""

    side = SIDE

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, pixels: Pixels) -> list[Shown]:
        """RGB uint8 (N, SIDE, SIDE, 3) -> one reading each; angles rounded to 0.01 degrees.

        The rounding hides torch's last bits, which differ from run to run.
        """
        readings = self._reader.read(from_pixels(pixels))
        return [
            Shown(
                identity=asdict(reading.identity),
                action=reading.action,
                background=reading.scene.place,
                time=reading.scene.light,
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
        reference=_reference(_picture_of(rng, identity), side),
        second=_reference(_picture_of(rng, identity), side),
        caption=CAPTION,
        description=describe(identity, _seen(identity)),
        targets=tuple(
            _target(rng, identity, side, seed=10_000 + TARGETS * index + i) for i in range(TARGETS)
        ),
    )


def _picture_of(rng: np.random.Generator, identity: Identity) -> Picture:
    """A held-out action in a held-out scene, somewhere in the picture."""
    action, scene = random_setting(rng, held_out=True)
    return plain_picture(rng, identity, action, scene)


def _reference(picture: Picture, side: int) -> ReferencePicture:
    image, alpha = render(picture, side), _foreground(picture.figures[0], side)
    masked = image.copy()
    masked.putalpha(alpha)
    return ReferencePicture(_shown(picture), _png(image), _png(masked))


def _target(rng: np.random.Generator, identity: Identity, side: int, seed: int) -> Target:
    action, scene = random_setting(rng, held_out=True)
    truths = [plain_picture(rng, identity, action, scene) for _ in range(TRUTHS)]
    return Target(
        shown=Shown(
            identity={name: getattr(identity, name) for name in _seen(identity)},
            action=action,
            background=scene.place,
            time=scene.light,
            angles=_angles(CENTRES[action]),
        ),
        prompt=plain_caption(action, scene, who="{who}"),
        seed=seed,
        truth=tuple(np.asarray(render(picture, side)) for picture in truths),
    )


def _seen(identity: Identity) -> tuple[str, ...]:
    """Attributes that a whole figure shows from the front, which is what targets ask for."""
    return visible_looks(identity, "front", "medium")


def _shown(picture: Picture) -> Shown:
    """What the picture shows; without attributes that cannot be seen in it."""
    figure, scene = picture.figures[0], picture.scenes[0]
    seen = visible_attributes(picture, figure)
    return Shown(
        identity={k: v for k, v in asdict(figure.identity).items() if k in seen},
        action=figure.action,
        background=scene.place,
        time=scene.light,
        angles=_angles(figure.pose),
    )


def _angles(pose: Pose) -> tuple[float, ...]:
    return tuple(getattr(pose, name) for name in ANGLES)


def _foreground(figure: Figure, side: int) -> Image.Image:
    """Coverage of the figure, L (side, side): where two different backgrounds give the same."""
    canvases = []
    for colour in ((255, 0, 255), (0, 255, 0)):
        canvas = Image.new("RGB", (side * OVERSAMPLE, side * OVERSAMPLE), colour)
        draw_figure(Pen(canvas, side * OVERSAMPLE / UNITS), figure)
        canvases.append(np.asarray(canvas))
    covered = (canvases[0] == canvases[1]).all(axis=2)
    return Image.fromarray(np.where(covered, 255, 0).astype(np.uint8)).reduce(OVERSAMPLE)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
