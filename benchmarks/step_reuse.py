"""Step reuse against fewer steps: savings, and the effect on identity and action.

    python -m benchmarks.step_reuse out/repository

All variants draw the same panels from the same noise, under two injection settings: 30 steps, 30
steps of which some are reused (`reuse_threshold`), and fewer plain steps, which saves as much
without any code. PSNR is against the 30 computed steps. A small reader, trained only on renders,
reads the character and the action in each panel.

Writes `step_reuse.json`, `.png` and a grid of panels to `benchmarks/results` after each variant. A
new run continues after the last finished injection setting.
"""

import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.cpu_engines import cpu_name
from benchmarks.evaluation.drawing import pixels_of
from benchmarks.evaluation.pairs import Pixels
from benchmarks.identity import read_panels, storyboards
from benchmarks.provenance import commit
from lafi.board.injection import Injection
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi.denoising.loop import OwnDenoising
from lafi.drawing.pipeline import draw, make_batcher
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi_tiny.stages.agreement import Wanted, held_out_wanted
from lafi_tiny.stages.reader import Reader, load_reader
from lafi_tiny.training import save_grid

STEPS = 30
GUIDANCE = 4.0
INJECTIONS = {
    "noise 0.1, strength 1": Injection(reference_noise=0.1, strength=1.0),
    "as published": Injection.as_published(),
}
THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
FEWER_STEPS = (20, 15, 10)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{f"reuse {threshold}": {"reuse_threshold": threshold} for threshold in THRESHOLDS},
    **{f"{steps} steps": {"steps": steps} for steps in FEWER_STEPS},
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """Panels RGB uint8 (N, H, W, 3), and their total cost; seconds of CPU time."""

    pixels: Pixels
    computed_steps: int
    rows: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One variant compared with 30 computed steps.

    computed_steps, rows, cpu_seconds  mean per panel; rows include references and padding
    row_speedup, cpu_speedup           the plain variant's cost divided by this one's
    psnr                               mean over panels, dB, infinite left out
    worst_psnr                         of the panel that differs most
    identity, action, scene            shares as in `identity.py`
    """

    injection: str
    way: str
    computed_steps: float
    rows: float
    cpu_seconds: float
    row_speedup: float
    cpu_speedup: float
    psnr: float | None
    worst_psnr: float | None
    identity: float
    action: float
    scene: float


def drawn(boards: Sequence[Storyboard], engines: Engines) -> Drawn:
    """All panels of the storyboards, drawn one storyboard after another in this thread."""
    batcher = make_batcher(engines)
    began = time.process_time()
    panels = [
        pixels_of(event.png)
        for board in boards
        for event in sorted(
            _panels(board, engines, OwnDenoising({"": batcher})), key=lambda e: e.panel
        )
    ]
    counts = batcher.counts
    return Drawn(
        pixels=np.stack(panels),
        computed_steps=counts.panel_steps - counts.reused_steps,
        rows=counts.panel_rows + counts.reference_rows + counts.padding_rows,
        cpu_seconds=time.process_time() - began,
    )


def _panels(board: Storyboard, engines: Engines, loop: OwnDenoising) -> Iterator[PanelImage]:
    events = draw(board, engines, denoising=loop)
    return (event for event in events if isinstance(event, PanelImage))


def psnr(panels: Pixels, plain: Pixels) -> list[float]:
    """PSNR in dB of each panel that differs from its plain one."""
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(panels, plain, strict=True)]
    return [float(10 * np.log10(255**2 / error)) for error in errors if error > 0]


def outcome(
    injection: str, way: str, own: Drawn, plain: Drawn, reader: Reader, wanted: Sequence[Wanted]
) -> Outcome:
    """Savings and quality of a variant."""
    scores = read_panels(reader, own.pixels, wanted)
    distances = psnr(own.pixels, plain.pixels)
    return Outcome(
        injection=injection,
        way=way,
        computed_steps=own.computed_steps / len(wanted),
        rows=own.rows / len(wanted),
        cpu_seconds=own.cpu_seconds / len(wanted),
        row_speedup=plain.rows / own.rows,
        cpu_speedup=plain.cpu_seconds / own.cpu_seconds,
        psnr=float(np.mean(distances)) if distances else None,
        worst_psnr=min(distances, default=None),
        identity=scores.identity,
        action=scores.action,
        scene=scores.scene,
    )


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    count: Annotated[int, typer.Option(help="held-out triples, a panel each")] = 32,
    seed: Annotated[int, typer.Option(help="which triples")] = 11,
    reader_file: Path = Path("tiny_model/reader.safetensors"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw COUNT panels with every variant, print, write."""
    torch.set_num_threads(1)
    engines = load_onnx_engines(repository / "artifacts", "openvino", threads=1)
    reader = load_reader(reader_file)
    wanted = held_out_wanted(count, seed)
    outcomes = finished_outcomes(results, count, seed, engines)
    # The first calls open graphs; their time must not count for any variant.
    drawn(storyboards(wanted[:1], Injection(), Sampling.model_validate({"steps": 2})), engines)
    for injection, settings in INJECTIONS.items():
        if any(one.injection == injection for one in outcomes):
            continue
        plain: Drawn | None = None
        for way, given in WAYS.items():
            sampling = Sampling.model_validate({"steps": STEPS, "guidance": GUIDANCE} | given)
            own = drawn(storyboards(wanted, settings, sampling), engines)
            plain = plain or own
            outcomes.append(outcome(injection, way, own, plain, reader, wanted))
            _write(outcomes, engines, count, seed, results)
            name = f"step_reuse_{injection}_{way}".replace(",", "").replace(" ", "_")
            save_grid(own.pixels, results / f"{name}.png")
    _print(outcomes)
    _plot(outcomes, results / "step_reuse.png")


def finished_outcomes(results: Path, count: int, seed: int, engines: Engines) -> list[Outcome]:
    """Results of injection settings that an earlier run of the same panels finished."""
    path = results / "step_reuse.json"
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    if (found["count"], found["seed"]) != (count, seed):
        return []
    if found["weights_sha256"] != engines.info.weights_sha256:
        return []
    outcomes = [Outcome(**one) for one in found["outcomes"]]
    ended = {one.injection for one in outcomes if one.way == [*WAYS][-1]}
    return [one for one in outcomes if one.injection in ended]


def _write(
    outcomes: Sequence[Outcome], engines: Engines, count: int, seed: int, results: Path
) -> None:
    """Writes the results so far, so that a stopped run keeps them."""
    document = {
        "outcomes": [asdict(one) for one in outcomes],
        "count": count,
        "seed": seed,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "engine": f"{engines.info.engine} {engines.info.precision}, one thread",
        "weights_sha256": engines.info.weights_sha256,
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "diffusers", "openvino")},
        "commit": commit(),
        "command": f"python -m benchmarks.step_reuse out/repository --count {count} --seed {seed}",
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "step_reuse.json").write_text(json.dumps(document, indent=2) + "\n")


def _print(outcomes: Sequence[Outcome]) -> None:
    columns = ("computed_steps", "row_speedup", "cpu_speedup", "psnr", "identity", "action")
    table = Table("injection", "way", *(name.replace("_", "\n") for name in columns))
    for one in outcomes:
        values = [getattr(one, name) for name in columns]
        shown = ["-" if value is None else f"{value:.3g}" for value in values]
        table.add_row(one.injection, one.way, *shown)
    Console().print(table)


def _plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Plots a row for each injection: PSNR, identity and action over computed steps."""
    figure, axes = plt.subplots(
        len(INJECTIONS), 3, figsize=(12, 7), squeeze=False, constrained_layout=True
    )
    labels = {"psnr": "PSNR to 30 computed steps, dB", "identity": "identity", "action": "action"}
    for row, injection in zip(axes, INJECTIONS, strict=True):
        own = [one for one in outcomes if one.injection == injection]
        reused = [one for one in own if not one.way.endswith("steps")]
        fewer = [one for one in own if not one.way.startswith("reuse")]
        for axis, (name, label) in zip(row, labels.items(), strict=True):
            for line, marker, points in (("reuse", "o", reused), ("fewer steps", "s", fewer)):
                pairs = [(one.computed_steps, getattr(one, name)) for one in points]
                there = sorted(pair for pair in pairs if pair[1] is not None)
                axis.plot([x for x, _ in there], [y for _, y in there], marker, ls="-", label=line)
            axis.set_xlabel("computed steps of a panel")
            axis.set_ylabel(label)
        row[0].set_title(injection)
        row[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
