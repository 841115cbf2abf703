"""Draw held-out captions without injection and read them: what the model must show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lafi_tiny.hand.attributes import EXPRESSIONS, PROPS, VIEWS, pick
from lafi_tiny.hand.caption import plain_caption, random_caption, some_attributes
from lafi_tiny.hand.looks import describe
from lafi_tiny.hand.picture import random_picture
from lafi_tiny.hand.words import EXPRESSION_WORDS, PROP_WORDS, VIEW_WORDS
from lafi_tiny.stages.agreement import (
    Wanted,
    agreements,
    held_out_wanted,
    match,
    strangers,
)
from lafi_tiny.stages.intervals import mean_interval, share_interval
from lafi_tiny.stages.reader import Reader, Reading, halves

Draw = Callable[[list[str], str], Tensor]
"""Captions and a name for the grid -> pictures (N, 3, 128, 128) in [-1, 1]."""
Figure = dict[str, float]


@dataclass(frozen=True, slots=True)
class ScoreSizes:
    """How many pictures each figure is of."""

    panels: int = 128
    twins: int = 128
    seed: int = 7


def score_model(sizes: ScoreSizes, reader: Reader, draw: Draw) -> dict[str, Figure]:
    """All figures, each with mean, low and high."""
    return {
        **_panels(sizes, reader, draw),
        "described_all": _described(sizes, reader, draw, None),
        "described_two": _described(sizes, reader, draw, 2),
        **_shown(sizes, reader, draw),
        **_twins(sizes, reader, draw),
    }


def total(figures: dict[str, Figure]) -> float:
    """What the best checkpoint is chosen by: the mean of the figures that must be shown."""
    names = ("action", "scene", "described_all", "described_two", "twins")
    return float(np.mean([figures[name]["mean"] for name in names]))


def _panels(sizes: ScoreSizes, reader: Reader, draw: Draw) -> dict[str, Figure]:
    wanted = held_out_wanted(sizes.panels, sizes.seed)
    captions = [plain_caption(w.action, w.scene, who="a child") for w in wanted]
    pairs = list(zip(reader.read(draw(captions, "panels")), wanted, strict=True))
    return {
        "action": share_interval([r.action == w.action for r, w in pairs]),
        "scene": share_interval([r.scene == w.scene for r, w in pairs]),
        "place": share_interval([r.scene.place == w.scene.place for r, w in pairs]),
        "light": share_interval([r.scene.light == w.scene.light for r, w in pairs]),
    }


def _described(sizes: ScoreSizes, reader: Reader, draw: Draw, count: int | None) -> Figure:
    """Attributes in the caption that are drawn; all that can be seen, or `count` of them."""
    rng = np.random.default_rng([sizes.seed, 8])
    wanted = held_out_wanted(sizes.panels, sizes.seed + 1)
    names = [w.visible if count is None else _some(rng, w, count) for w in wanted]
    captions = [
        plain_caption(w.action, w.scene, who=describe(w.identity, said))
        for w, said in zip(wanted, names, strict=True)
    ]
    readings = reader.read(draw(captions, "described" if count is None else "described_two"))
    rows = zip(readings, wanted, names, strict=True)
    return mean_interval([match(r, w.identity, said) for r, w, said in rows])


def _some(rng: np.random.Generator, wanted: Wanted, count: int) -> tuple[str, ...]:
    return some_attributes(rng, wanted.visible, count, count)


def _shown(sizes: ScoreSizes, reader: Reader, draw: Draw) -> dict[str, Figure]:
    """Expression and prop of a front view, and the view, each asked for in its own caption."""
    rng = np.random.default_rng([sizes.seed, 9])
    asked: list[tuple[str, str]] = []
    captions = []
    for k, wanted in enumerate(held_out_wanted(sizes.panels, sizes.seed + 2)):
        name = ("expression", "prop", "view")[k % 3]
        choices = {"expression": EXPRESSIONS, "prop": PROPS[1:], "view": VIEWS}[name]
        value = pick(rng, choices)
        asked.append((name, value))
        mood = EXPRESSION_WORDS["en"][value][0] if name == "expression" else ""
        caption = plain_caption(
            wanted.action, wanted.scene, who=describe(wanted.identity, (), mood=mood)
        )
        if name != "expression":
            words = (PROP_WORDS if name == "prop" else VIEW_WORDS)["en"]
            caption += f", {words[value][0]}"
        captions.append(caption)
    readings = reader.read(draw(captions, "shown"))
    hits: dict[str, list[bool]] = {"expression": [], "prop": [], "view": []}
    for reading, (name, value) in zip(readings, asked, strict=True):
        hits[name].append(reading.names[name] == value)
    return {name: share_interval(rows) for name, rows in hits.items()}


def _twins(sizes: ScoreSizes, reader: Reader, draw: Draw) -> dict[str, Figure]:
    """Pictures that show one character twice: do both figures agree with each other?"""
    figures: dict[str, Any] = {}
    sides: dict[str, tuple[list[Reading], list[Reading]]] = {}
    for kind in ("twins", "strip"):
        rng = np.random.default_rng([sizes.seed, 6, len(kind)])
        pictures = [random_picture(rng, kind, held_out=True) for _ in range(sizes.twins)]
        captions = [random_caption(rng, picture) for picture in pictures]
        left, right = (reader.read(half) for half in halves(draw(captions, kind)))
        sides[kind] = (left, right)
        figures["strips" if kind == "strip" else "twins"] = mean_interval(agreements(left, right))
    figures["strangers"] = mean_interval(strangers(*sides["twins"]))
    return figures
