"""Identity against leakage: what each method takes over from a reference, and what it costs.

    python -m benchmarks.evaluate --repository out/repository

Every method draws the same held-out (reference, target prompt) pairs from the same noise. A reader
says what the panels show. Panels are kept under --out, so that a stopped run can continue; figures,
plots and a page of pictures go to --results.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.evaluation.bootstrap import Resampling
from benchmarks.evaluation.drawing import CheckpointDrawer, describe_engines, load_drawer
from benchmarks.evaluation.methods import chosen, compared
from benchmarks.evaluation.page import MEASURES, write_page
from benchmarks.evaluation.pairs import Group, PairSource, PanelReader, load_named
from benchmarks.evaluation.parts import Parts
from benchmarks.evaluation.plots import draw_plots
from benchmarks.evaluation.run import Comparison, Extent, as_document, extent_json
from benchmarks.provenance import surroundings
from lafi.board.stages import SamplingStage

DRAWN = "benchmarks.evaluation.drawn"


def main(
    checkpoint: Annotated[Path, typer.Option(help="A diffusers folder.")] = Path(
        "tiny_model/weights"
    ),
    repository: Annotated[
        Path | None, typer.Option(help="Its export, for speed; without one all is drawn in torch.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Pairs for the named methods.")] = 256,
    sweep_pairs: Annotated[int, typer.Option(help="Pairs for the methods of the sweeps.")] = 64,
    diverse_pairs: Annotated[int, typer.Option(help="Pairs drawn with several seeds.")] = 16,
    seeds: Annotated[int, typer.Option(help="Seeds for those.")] = 4,
    steps: int = 20,
    sampler: str = "DPM++2M",
    guidance: float = 4.0,
    seed: Annotated[int, typer.Option(help="Which pairs.")] = 11,
    only: Annotated[list[str] | None, typer.Option(help="Methods; default all.")] = None,
    reader: Annotated[str, typer.Option(help="module:factory of a PanelReader.")] = (
        f"{DRAWN}:drawn_reader"
    ),
    source: Annotated[str, typer.Option(help="module:function, a PairSource.")] = (
        f"{DRAWN}:drawn_groups"
    ),
    resamples: int = 2000,
    threads: int = 2,
    out: Annotated[Path, typer.Option(help="Where drawn panels are kept.")] = Path("out/evaluate"),
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, and write evaluate.json, plots and evaluate.html."""
    torch.set_num_threads(threads)
    console = Console()
    stage = SamplingStage.model_validate({"steps": steps, "sampler": sampler, "guidance": guidance})
    eyes: PanelReader = load_named(reader)()
    groups = groups_for(load_named(source), pairs, seed=seed, side=eyes.side)
    extent = extent_for(groups, pairs, sweep_pairs, diverse_pairs, seeds)
    drawer = load_drawer(checkpoint, repository, stage, eyes.side)
    settings = _settings(drawer, stage, seed, source, reader)
    methods, sweeps = compared(drawer.engines.info)
    comparison = Comparison(
        methods=chosen(methods, only) if only else methods,
        sweeps=sweeps,
        groups=groups,
        parts=Parts(out, drawer, {**settings, "side": eyes.side}),
        drawer=drawer,
        reader=eyes,
        extent=extent,
        how=Resampling(resamples),
        say=lambda line: console.print(line, highlight=False),
    )
    outcome = comparison.run()
    stated = {
        **surroundings(_command(), ("torch", "openvino", "diffusers")),
        **settings,
        "extent_in_groups": extent_json(extent),
    }
    document = as_document(outcome, stated)
    results.mkdir(parents=True, exist_ok=True)
    (results / "evaluate.json").write_text(json.dumps(document, indent=1) + "\n")
    plots = draw_plots(document, results)
    write_page(results / "evaluate.html", document, outcome, groups, plots)
    _print(console, document)


def groups_for(source: PairSource, pairs: int, *, seed: int, side: int) -> Sequence[Group]:
    """As many groups as needed for `pairs` pairs. Raises ValueError if there are too few."""
    if pairs < 1:
        raise ValueError(f"pairs: got {pairs}, allowed 1 or more")
    found: list[Group] = []
    held = 0
    while held < pairs:
        more = source(len(found), 1, seed=seed, side=side)
        if not more:
            raise ValueError(f"pairs: got {pairs}, allowed at most {held}, what the source has")
        found += more
        held += sum(len(group.targets) for group in more)
    return found


def extent_for(
    groups: Sequence[Group], pairs: int, sweep_pairs: int, diverse_pairs: int, seeds: int
) -> Extent:
    """Pairs as whole groups, rounded up. Raises ValueError as `Extent`."""

    def needed(count: int) -> int:
        held = 0
        for number, group in enumerate(groups):
            if held >= count:
                return number
            held += len(group.targets)
        return len(groups)

    return Extent(
        named=needed(pairs), sweep=needed(sweep_pairs), diverse=needed(diverse_pairs), seeds=seeds
    )


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.evaluate", *sys.argv[1:]])


def _settings(
    drawer: CheckpointDrawer, stage: SamplingStage, seed: int, source: str, reader: str
) -> dict[str, Any]:
    return {
        **describe_engines(drawer),
        "sampling": stage.model_dump(mode="json"),
        "seed": seed,
        "source": source,
        "reader": reader,
    }


def _print(console: Console, document: dict[str, Any]) -> None:
    columns = [name for name in MEASURES if name != "diversity"]
    table = Table("method", *(name.replace("_", " ") for name in columns))
    rows = [("real pictures", document["floor"]), *document["methods"].items()]
    for name, entry in rows:
        found = [entry.get(column) for column in columns]
        table.add_row(name, *("-" if x is None else f"{x['value']:.3f}" for x in found))
    console.print(table)
    console.print(f"default: {document['default']}: {document['default_reason']}")


if __name__ == "__main__":
    typer.run(main)
