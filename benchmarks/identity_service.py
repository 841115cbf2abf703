"""Recognition of characters that are in no training picture: student and teacher, open set.

    python -m benchmarks.identity_service [--repository out/repository --panels 32]

The teacher is measured if it lies in `--models`, where `export-recogniser --teacher` puts it.

Verification of pairs, identification among growing numbers of characters, size and speed; on
renders of whole figures, on the same through the bundled VAE, on renders in any view and framing
and, with --repository, on drawn panels. Thresholds
come from `tiny_model/recogniser/recogniser.json`, chosen on other characters.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
import torch
import typer
from diffusers import AutoencoderKL
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.evaluation.drawing import drawn_panels, pixels_of
from benchmarks.evaluation.drawn import drawn_groups
from benchmarks.provenance import commit
from lafi.app.machine import cpu_name_and_flags
from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi_tiny.hand.attributes import Identity
from lafi_tiny.hand.picture import SIDE as PICTURE_SIDE
from lafi_tiny.who.export_recogniser import ROLES, onnx_embedder
from lafi_tiny.who.figure_pool import degrade
from lafi_tiny.who.open_set import (
    CALIBRATION_SEED,
    TEST_SEED,
    Embed,
    Pixels,
    any_picture,
    embed_all,
    identify_among,
    pairs_of,
    portraits,
    unseen_characters,
    verify,
)
from lafi_tiny.who.recogniser import SIDE, Role
from lafi_tiny.who.verification import Array, equal_error_rate, error_rates

RESULTS = Path(__file__).parent / "results"
ENROLLED = (2, 8, 32, 128)
PER_ENROLMENT = (1, 3)
IMAGES = 6
"""Pictures of each character: at most three enrol it, the others are probes."""
STRANGERS = 64
INJECTION = Injection(layers="decoder", reference_noise=0.1, strength=1.0)
Figures = dict[str, Any]


def bundled_vae(weights: Path) -> AutoencoderKL:
    """The VAE of a packed model, in float32."""
    vae = AutoencoderKL.from_pretrained(weights / "vae", torch_dtype=torch.float32)
    return vae.eval().requires_grad_(False)


def characters_for_the_test(count: int) -> list[Identity]:
    """Unseen characters that were not used to choose the threshold."""
    calibration = set(unseen_characters(96, CALIBRATION_SEED))
    return unseen_characters(count, TEST_SEED, calibration)


def measure(
    embed: Embed,
    characters: list[Identity],
    embedded: Array,
    threshold: float,
    verified: int,
) -> tuple[Figures, dict[str, Array]]:
    """Verification of the first `verified` characters, identification of all.

    `embedded` (characters, IMAGES, D) are their pictures, `embed` sees the other halves of
    the hard pairs. The last STRANGERS characters are never enrolled. Also returns the
    scores for the plot.
    """
    found = verify(embed, characters[:verified], IMAGES, TEST_SEED, embedded[:verified])
    enrolled, strangers = embedded[:-STRANGERS], embedded[-STRANGERS:]
    figures: Figures = {"verification": found.summary(), "identification": []}
    figures["verification"]["at_the_threshold"] = {
        "threshold": threshold,
        "false_reject": float((found.genuine < threshold).mean()),
        "false_accept_random": float((found.random >= threshold).mean()),
        "false_accept_hard": float((found.all_hard >= threshold).mean()),
    }
    for per_enrolment in PER_ENROLMENT:
        for count in (n for n in ENROLLED if n <= len(enrolled)):
            # There are many small galleries, so that every character is in one.
            parts = [
                identify_among(enrolled[i : i + count], strangers, per_enrolment, threshold)
                for i in range(0, len(enrolled) - count + 1, count)
            ]
            row = {key: float(np.mean([p[key] for p in parts])) for key in parts[0]}
            figures["identification"].append(
                {"enrolled": count, "images": per_enrolment, "galleries": len(parts), **row}
            )
    scores = {"genuine": found.genuine, "random": found.random, "hard": found.all_hard}
    return figures, scores


def through_vae(vae: AutoencoderKL, embed: Embed) -> Embed:
    """Embeds pictures after VAE encoding and decoding: an upper bound for drawn panels."""
    return lambda pixels: embed(degrade(vae, pixels, seed=0, noise=0.0))


def speed(models: Mapping[Role, Path], rounds: int) -> Figures:
    """Milliseconds of CPU time per call, one thread, the models in turns; and their ratio."""
    figures: Figures = {}
    for batch in (1, 8):
        images = np.zeros((batch, SIDE, SIDE, 3), np.uint8)
        runs: dict[str, Callable[[], Any]] = {}
        for role, path in models.items():
            embed = onnx_embedder(path)
            runs[role] = partial(embed, images)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                run()
                start = time.process_time()
                for _ in range(5):
                    run()
                times[name].append((time.process_time() - start) / 5 * 1e3)
        medians = {name: statistics.median(t) for name, t in times.items()}
        figures[f"batch_{batch}"] = {
            "cpu_ms": {name: round(value, 3) for name, value in medians.items()}
        }
        if "teacher" in times:
            ratios = [a / b for a, b in zip(times["teacher"], times["student"], strict=True)]
            figures[f"batch_{batch}"]["student_is_faster"] = round(statistics.median(ratios), 2)
    return figures


def drawn_characters(repository: Path, count: int, steps: int) -> tuple[Pixels, Pixels]:
    """References (characters, 2, 128, 128, 3) of unseen characters and four panels of each."""
    engines = load_onnx_engines(repository / "artifacts", runtime="openvino", precision="f32")
    references, panels = [], []
    for group in drawn_groups(0, count // 4, seed=TEST_SEED, side=PICTURE_SIDE):
        assert group.second is not None
        who = Character(
            name="who", prompt=group.caption, reference=ReferenceImage(data=group.reference.png)
        )
        board = Storyboard(
            characters=(who,),
            panels=tuple(Panel(prompt=t.prompt, seed=t.seed) for t in group.targets),
            sampling=Sampling.model_validate({"steps": steps, "guidance": 4.0}),
            injection=INJECTION,
        )
        panels.append(drawn_panels(board, engines, "identity_service"))
        references.append([pixels_of(group.reference.png), pixels_of(group.second.png)])
    return np.array(references), np.array(panels)


def measure_drawn(embed: Embed, references: Pixels, panels: Pixels, threshold: float) -> Figures:
    """Scores of panels against their own references, and against those of others."""
    templates, drawn = embed_all(embed, references)[:, 0], embed_all(embed, panels)
    scores = np.einsum("cpd,rd->cpr", drawn, templates)
    own = np.einsum("cpc->cp", scores).reshape(-1)
    others = scores[~np.eye(len(templates), dtype=bool)[:, None].repeat(drawn.shape[1], 1)]
    right = scores.argmax(axis=2) == np.arange(len(templates))[:, None]
    return {
        "panels": int(own.size),
        "characters": len(templates),
        "rank_1": float(right.mean()),
        "equal_error": equal_error_rate(own, others)[0],
        "mean_cosine_with_the_reference": float(own.mean()),
        "mean_cosine_with_other_references": float(others.mean()),
        "accepted_at_the_threshold": float((own >= threshold).mean()),
    }


def plot(scores: dict[str, dict[str, Array]], document: Figures, path: Path) -> None:
    """ROC of random and hard pairs; open-set error against enrolled characters."""
    figure, (roc, growth) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for role, sets in scores.items():
        for kind in ("random", "hard"):
            rates = error_rates(sets["genuine"], sets[kind])
            rate = equal_error_rate(sets["genuine"], sets[kind])[0]
            label = f"{role}, {kind} pairs: equal error {100 * rate:.1f}%"
            roc.plot(rates.false_accept, 1 - rates.false_reject, label=label)
        for images in PER_ENROLMENT:
            rows = document["renders"][role]["identification"]
            rows = [row for row in rows if row["images"] == images]
            counts = [row["enrolled"] for row in rows]
            label = f"{role}, {images} image{'s' if images > 1 else ''} each"
            growth.plot(counts, [row["equal_error"] for row in rows], "o-", label=label)
    roc.set_xscale("symlog", linthresh=1e-3)
    roc.set(xlabel="false accept rate", ylabel="true accept rate", title="Verification")
    growth.set_xscale("log", base=2)
    growth.set(xlabel="enrolled characters", ylabel="equal error", title="Open set")
    growth.axhline(0.05, color="grey", linestyle=":")
    for axes in (roc, growth):
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main(
    models: Annotated[Path, typer.Option(help="folder of recogniser.json")] = Path(
        "tiny_model/recogniser"
    ),
    weights: Annotated[Path, typer.Option(help="the packed bundled model")] = Path(
        "tiny_model/weights"
    ),
    repository: Annotated[Path | None, typer.Option(help="also measure drawn panels")] = None,
    panels: Annotated[int, typer.Option(help="drawn, four of each character")] = 16,
    steps: Annotated[int, typer.Option(help="of every drawn panel")] = 25,
    enrolled: Annotated[int, typer.Option(help="characters enrolled at most")] = 128,
    verified: Annotated[int, typer.Option(help="characters whose pictures are paired")] = 64,
    rounds: Annotated[int, typer.Option(help="of the speed comparison")] = 10,
    out: Annotated[Path, typer.Option(help="folder of the JSON and the plot")] = RESULTS,
) -> None:
    """Measure, print, write `identity_service.json` and `.png`."""
    torch.set_num_threads(1)
    card = json.loads((models / "recogniser.json").read_text())
    paths = {role: path for role in ROLES if (path := models / f"{role}.onnx").exists()}
    characters = characters_for_the_test(enrolled + STRANGERS)
    pictures = portraits(characters, IMAGES, TEST_SEED)
    vae = bundled_vae(weights)
    flat = pictures.reshape(-1, *pictures.shape[2:])
    decoded = degrade(vae, flat, seed=0, noise=0.0).reshape(pictures.shape)
    drawn = drawn_characters(repository, panels, steps) if repository else None
    views = portraits(characters[:verified], IMAGES, TEST_SEED, any_picture)
    document: Figures = {"renders": {}, "through_vae": {}, "drawn": {}, "any_view": {}}
    scores: dict[str, dict[str, Array]] = {}
    for role, path in paths.items():
        embed, threshold = onnx_embedder(path), card[role]["threshold"]
        kinds = (("through_vae", through_vae(vae, embed), decoded), ("renders", embed, pictures))
        for kind, see, shown in kinds:
            seen = embed_all(embed, shown)
            document[kind][role], scores[role] = measure(
                see, characters, seen, threshold, min(verified, enrolled)
            )
        found = equal_error_rate(*pairs_of(embed_all(embed, views)))
        document["any_view"][role] = {"equal_error": found[0], "threshold": found[1]}
        if drawn:
            document["drawn"][role] = measure_drawn(embed, *drawn, threshold)
    document["speed"] = speed(paths, rounds)
    document["models"] = {role: card[role] for role in paths}
    document |= {
        "cpu": cpu_name_and_flags()[0],
        "versions": {"onnxruntime": onnxruntime.__version__, "torch": version("torch")},
        "python": platform.python_version(),
        "commit": commit(),
        "command": "python -m benchmarks.identity_service"
        + (f" --repository {repository} --panels {panels}" if repository else ""),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "identity_service.json").write_text(json.dumps(document, indent=2) + "\n")
    plot(scores, document, out / "identity_service.png")
    _print(document)


def _print(document: Figures) -> None:
    table = Table("pictures", "network", "equal error", "hard", "rank 1", "open set")
    for kind in ("renders", "through_vae"):
        for role, figures in document[kind].items():
            verification, last = figures["verification"], figures["identification"][-1]
            table.add_row(
                kind,
                role,
                f"{verification['equal_error']:.4f}",
                f"{verification['hard_equal_error']:.4f}",
                f"{last['rank_1']:.3f}",
                f"{last['equal_error']:.3f}",
            )
    console = Console(highlight=False)
    console.print(table)
    console.print_json(json.dumps({key: document[key] for key in ("any_view", "drawn", "speed")}))


if __name__ == "__main__":
    typer.run(main)
