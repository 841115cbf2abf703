"""A denoiser call with and without each change of its graph, in turns.

    python -m benchmarks.graph_changes out/repository

Calls of 16 rows (8 panels with guidance) at 128 px: plain, and reading a known character from the
bank in the layers of `decoder`. Writes `results/graph_changes.json` and `.png`;
`bf16_call_vs_before` is the larger of the two ratios of least times in bf16, all changes to none,
and goes into `peers.json`.
"""

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.cpu_engines import storyboard_batch
from benchmarks.denoiser_limit import first_rows, measure
from benchmarks.provenance import provenance
from lafi.conditioning.routing import Reading, routing_ports
from lafi.engine.onnx.engines import load_denoiser, load_reference_reader
from lafi.engine.onnx.graph import Precision, cpu_has_bf16
from lafi.model.families.registry import input_ports
from lafi.model.graph_changes import GRAPH_CHANGES, GraphChange
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.layers import injected_layers
from lafi.ports.bank_entry import BankInputs, stack_bank
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

RESULTS = Path("benchmarks/results")
PEERS = RESULTS / "peers.json"
SIDE, PANELS = 128, 8
ROWS = 2 * PANELS
NONE, ALL = "none", "all"
CHOICES: Mapping[str, tuple[GraphChange, ...]] = {
    NONE: (),
    **{change: (change,) for change in GRAPH_CHANGES},
    ALL: GRAPH_CHANGES,
}
Times = Mapping[str, Mapping[str, float]]


def known_batch(info: ModelInfo, bank: BankInputs) -> DenoiserBatch:
    """ROWS rows that all read the bank's one entry in the layers of `decoder`."""
    plain = first_rows(storyboard_batch(info, SIDE, "none", PANELS), ROWS)
    size = (SIDE // info.vae_scale,) * 2
    layers = injected_layers(info, "decoder")
    reading = Reading(sources=(ROWS,), regions=(torch.ones(size),), layers=layers)
    routing = routing_ports([reading] * ROWS, len(info.layers), size, bank=1)
    return replace(plain, ports={**plain.ports, **routing}, bank=bank)


def read_one(artifacts: Path, info: ModelInfo) -> BankInputs:
    """A bank with one entry, of random latents."""
    rows = first_rows(storyboard_batch(info, SIDE, "none", 1), 1)
    alone = [
        port.name for port in input_ports(info) if not port.reading and port.name in rows.ports
    ]
    batch = ReferenceBatch({name: rows[name] for name in alone}, rows["mask"])
    return stack_bank(load_reference_reader(artifacts, "openvino")(batch))


def calls(
    artifacts: Path, folder: Path, precisions: Sequence[Precision]
) -> dict[str, Callable[[], object]]:
    """Of each precision, choice and kind of call. folder: for copies of the artifacts."""
    info = load_model_info(artifacts)
    batches = {
        "plain": first_rows(storyboard_batch(info, SIDE, "none", PANELS), ROWS),
        "known": known_batch(info, read_one(artifacts, info)),
    }
    found: dict[str, Callable[[], object]] = {}
    for choice, changes in CHOICES.items():
        copied = Path(shutil.copytree(artifacts, folder / choice))
        info.model_copy(update={"graph_changes": changes}).save(copied)
        for precision in precisions:
            denoiser = load_denoiser(copied, "openvino", precision)
            for kind, batch in batches.items():
                found[_name(precision, kind, choice)] = lambda d=denoiser, b=batch: d(b)  # type: ignore[misc]
    return found


def _name(precision: str, kind: str, choice: str) -> str:
    return f"{precision}, {kind}, {choice}"


def ratios(found: Times, precisions: Sequence[Precision]) -> dict[str, dict[str, float]]:
    """Times with each choice to times with none, by precision and kind: least and median."""
    return {
        _name(precision, kind, choice): {
            measured: found[_name(precision, kind, choice)][measured]
            / found[_name(precision, kind, NONE)][measured]
            for measured in ("least_ms", "median_ms")
        }
        for precision in precisions
        for kind in ("plain", "known")
        for choice in CHOICES
    }


def plot(found: Times, path: Path) -> None:
    """Least and median milliseconds of each call."""
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    axes.barh([*found], [row["median_ms"] for row in found.values()], color="lightgrey")
    bars = axes.barh([*found], [row["least_ms"] for row in found.values()])
    axes.bar_label(bars, fmt=" %.1f")
    axes.invert_yaxis()
    axes.set_xlabel(f"milliseconds of a call of {ROWS} rows: least, and median (grey)")
    figure.savefig(path, dpi=110)


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`, for OpenVINO")],
    turns: int = 30,
    out: Annotated[Path, typer.Option(help="folder of the results")] = RESULTS,
) -> None:
    """Measure, print, write."""
    precisions = [p for p in get_args(Precision) if p == "f32" or cpu_has_bf16()]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(calls(repository / "artifacts", Path(folder), precisions), turns)
    document: dict[str, Any] = {"calls": found, "ratios": ratios(found, precisions)}
    if "bf16" in precisions:
        both = [document["ratios"][_name("bf16", kind, ALL)] for kind in ("plain", "known")]
        document["bf16_call_vs_before"] = max(row["least_ms"] for row in both)
    command = shlex.join(["python", "-m", "benchmarks.graph_changes", *sys.argv[1:]])
    document |= {"rows": ROWS, "side": SIDE, "turns": turns}
    document |= provenance(repository, command, ("openvino", "torch"))
    (out / "graph_changes.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if "bf16_call_vs_before" in document and PEERS.exists():
        peers = json.loads(PEERS.read_text(encoding="utf-8"))
        peers["bf16_call_vs_before"] = document["bf16_call_vs_before"]
        PEERS.write_text(json.dumps(peers, indent=2) + "\n", encoding="utf-8")
    plot(found, out / "graph_changes.png")
    table = Table("call", "least", "median")
    for name, row in document["ratios"].items():
        table.add_row(name, f"{row['least_ms']:.3f}", f"{row['median_ms']:.3f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
