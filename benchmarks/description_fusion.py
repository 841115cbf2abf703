"""Whether descriptions help to recognise characters: pictures, descriptions, and both together.

    python -m benchmarks.description_fusion

Characters that are in no training picture are enrolled by one picture, by a description of some of
their nine attributes, or by both (late fusion). Measures open-set identification among growing
numbers of them, and verification against characters that differ in one attribute. The weight of a
description is that of `recogniser.json`, chosen on other characters.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.identity_service import ENROLLED, STRANGERS, characters_for_the_test
from benchmarks.provenance import surroundings
from lafi.engine.onnx.describer import load_describer
from lafi.model.recogniser_files import read_recogniser_info
from lafi_tiny.who.export_describer import CARD_KEY
from lafi_tiny.who.export_recogniser import onnx_embedder
from lafi_tiny.who.fusion import (
    IMAGES,
    Enrolled,
    Probes,
    Scoring,
    descriptions,
    lookalike_error,
    see,
)
from lafi_tiny.who.open_set import TEST_SEED, portraits
from lafi_tiny.who.verification import Array, identified

RESULTS = Path("benchmarks/results")
WAYS = ("pictures", "words", "both")
SAID = (9, 4, 2)
"""Numbers of attributes in a description."""


def measure(
    said: int, enrolled: Enrolled, probes: Probes, strangers: Array, card: dict[str, Any]
) -> dict[str, Any]:
    """Pictures, descriptions and both: among lookalikes, and for every number of enrolled ones."""
    weight, threshold = card[CARD_KEY]["weight"], card["threshold"]
    ways: dict[str, Scoring] = {
        "pictures": lambda rows: enrolled.scores(rows, 0.0),
        "words": enrolled.by_words,
        "both": lambda rows: enrolled.scores(rows, weight),
    }
    near = {way: lookalike_error(scoring, probes) for way, scoring in ways.items()}
    rows: list[dict[str, Any]] = []
    for count in (n for n in ENROLLED if n <= len(enrolled.pictures)):
        found = {
            way: among(each, probes, strangers, count, threshold) for way, each in ways.items()
        }
        rows.append({"enrolled": count, **found})
    return {"said": said, "lookalike_error": near, "identification": rows}


def among(
    scoring: Scoring, probes: Probes, strangers: Array, enrolled: int, threshold: float
) -> dict[str, float]:
    """Error rates in galleries of `enrolled` characters, as many galleries as possible."""
    count, each, width = probes.own.shape
    known = scoring(probes.own.reshape(-1, width)).reshape(count, each, count)
    unknown = scoring(strangers)
    found = []
    for start in range(0, count - enrolled + 1, enrolled):
        gallery = slice(start, start + enrolled)
        scores = known[gallery, :, gallery].reshape(-1, enrolled)
        owners = np.arange(enrolled).repeat(each)
        found.append(asdict(identified(scores, owners, unknown[:, gallery], threshold)))
    return {key: float(np.mean([row[key] for row in found])) for key in found[0]}


def plot(figures: list[dict[str, Any]], path: Path) -> None:
    """Equal error against enrolled characters, one panel for each length of description."""
    figure, panels = plt.subplots(
        1, len(figures), figsize=(4.2 * len(figures), 3.8), sharey=True, layout="constrained"
    )
    for axes, found in zip(np.atleast_1d(panels), figures, strict=True):
        rows = found["identification"]
        for name in WAYS:
            errors = [row[name]["equal_error"] for row in rows]
            axes.plot([row["enrolled"] for row in rows], errors, "o-", label=name)
        axes.axhline(0.05, color="grey", linestyle=":")
        axes.set_xscale("log", base=2)
        with_pictures = [row[way]["equal_error"] for row in rows for way in WAYS if way != "words"]
        axes.set_ylim(0, 1.15 * max(with_pictures))  # short descriptions alone are off this scale
        axes.set(xlabel="enrolled", title=f"{found['said']} attributes said")
        axes.legend(fontsize=8)
    np.atleast_1d(panels)[0].set_ylabel("equal error")
    figure.savefig(path, dpi=110)


def main(
    models: Annotated[Path, typer.Option(help="folder of recogniser.json")] = Path(
        "tiny_model/recogniser"
    ),
    enrolled: Annotated[int, typer.Option(help="characters enrolled at most")] = ENROLLED[-1],
    out: Annotated[Path, typer.Option(help="folder of the JSON and the plot")] = RESULTS,
) -> None:
    """Measure, print, write `description_fusion.json` and `.png`."""
    embed = onnx_embedder(models / "student.onnx", threads=os.cpu_count() or 1)
    describer = load_describer(models, read_recogniser_info(models), threads=1)
    card = json.loads((models / "recogniser.json").read_text())
    characters = characters_for_the_test(enrolled + STRANGERS)
    known, strangers = characters[:enrolled], characters[enrolled:]

    def describe(texts: Sequence[str]) -> Array:
        return describer(texts).astype(np.float64)

    pictures, probes = see(embed, known, TEST_SEED)
    unseen = portraits(strangers, IMAGES, TEST_SEED + 1)
    unknown = embed(unseen.reshape(-1, *unseen.shape[2:]))
    figures = []
    for said in SAID:
        words = describe(descriptions(known, (said, said), TEST_SEED))
        figures.append(measure(said, Enrolled(pictures, words), probes, unknown, card))
    document = {
        "said": figures,
        "student": card["student"],
        "describer": card[CARD_KEY],
        **surroundings("python -m benchmarks.description_fusion", ("onnxruntime",)),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "description_fusion.json").write_text(json.dumps(document, indent=2) + "\n")
    plot(figures, out / "description_fusion.png")
    _print(figures)


def _print(figures: list[dict[str, Any]]) -> None:
    table = Table("attributes said", "enrolled", *(f"equal error, {way}" for way in WAYS))
    for found in figures:
        near = (f"{found['lookalike_error'][way]:.3f}" for way in WAYS)
        table.add_row(str(found["said"]), "lookalikes", *near)
        for row in found["identification"]:
            errors = (f"{row[way]['equal_error']:.3f}" for way in WAYS)
            table.add_row(str(found["said"]), str(row["enrolled"]), *errors)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
