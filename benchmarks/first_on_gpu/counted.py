"""The counted work of the steps that are measured, kept in a file: counting takes minutes.

python -m benchmarks.first_on_gpu --count
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache

from benchmarks.attention import RESULTS
from benchmarks.torch_engine import Case, Work, count
from lafi.model.architectures.architecture import Size
from lafi.model.architectures.registry import ArchitectureName

FILE = RESULTS / "first_on_gpu_work.json"
BYTES = 2
SIDES: dict[ArchitectureName, int] = {"sdxl": 1024, "sd15": 512}


def step_cases(model: ArchitectureName, size: Size) -> tuple[Case, Case, Case]:
    """A step without injection, as published, and with a known character: 8 panels, guidance."""
    side, panels = (SIDES[model], 8) if size == "full" else (64, 1)
    return (
        Case(model, side, panels, "none"),
        Case(model, side, panels, "decoder"),
        Case(model, side, panels, "decoder", known=True),
    )


@cache
def work_of(case: Case, size: Size) -> Work:
    """From the file for full sizes, counted for small ones. Raises KeyError for another case."""
    if size == "small":
        return count(case, size, BYTES)
    return Work(**json.loads(FILE.read_text(encoding="utf-8"))[case.name])


def write_counted() -> dict[str, dict[str, float]]:
    """Counts all cases and writes the file."""
    found = {case.name: asdict(count(case, "full", BYTES)) for case in _cases()}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _cases() -> Iterator[Case]:
    for model in SIDES:
        yield from step_cases(model, "full")
