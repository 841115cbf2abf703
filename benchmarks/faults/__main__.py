"""Breaks a running server in every way of the table, and goes on where it stopped.

    python -m benchmarks.faults out/repository [--short] [--only "load"] [--state FOLDER]

Every try is noted at once in FOLDER/tries.jsonl; benchmarks/results/faults.json sums them up. The
full form takes hours; `--short` is what CI runs. Exit status 1: a try failed.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.faults.table import TESTS, run_tests, summed_up, tries_in
from benchmarks.provenance import provenance

RESULTS = Path("benchmarks/results/faults.json")
PACKAGES = ("grpcio", "nvidia-pytriton", "openvino", "onnxruntime", "tritonclient")


def main(
    repository: Annotated[Path, typer.Argument(help="What `lafi export` wrote.")],
    short: Annotated[bool, typer.Option("--short", help="A few tries of each test.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only these tests.")] = None,
    state: Annotated[Path, typer.Option(help="Where tries are noted.")] = Path("out/faults"),
    out: Annotated[Path, typer.Option(help="Where they are summed up.")] = RESULTS,
) -> None:
    """Run the tries that are not noted yet, and sum up."""
    names = [test.name for test in TESTS]
    for name in only or ():
        if name not in names:
            raise typer.BadParameter(f"got {name!r}, allowed: {', '.join(names)}")
    chosen = [test for test in TESTS if not only or test.name in only]
    state.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="lafi-faults-") as work:
        run_tests(chosen, repository, Path(work), state, short=short, tell=console.print)
    rows = summed_up(tries_in(state))
    command = f"python -m benchmarks.faults out/repository{' --short' if short else ''}"
    report = {**provenance(repository, command, PACKAGES), "tests": rows}
    out.write_text(json.dumps(report, indent=1) + "\n")
    if any(row["failed"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
