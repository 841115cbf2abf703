"""What is asked, in the order of what is worth most first.

Knows names and limits of time, not how anything is measured: a part's module is imported when its
turn comes, so that one that lacks a package does not keep the others from running.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

FOLDER: Final = "benchmarks.first_on_gpu"


class NotHere(RuntimeError):
    """A row cannot be measured on this machine; the text says why."""


class Row(NamedTuple):
    """One question. answer: figures by name, as JSON has them; takes seconds."""

    name: str
    answer: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """device: `cpu`, `cuda` or `cuda:<index>`. size: `full`, or `small` to try the script."""

    device: str
    size: str

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    @property
    def repeats(self) -> int:
        """Calls of which the median counts."""
        return 10 if self.size == "full" else 1

    @property
    def warm_up(self) -> int:
        """Calls before them."""
        return 3 if self.size == "full" else 0


Rows = Callable[[Setting], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that share a file and what is costly to make.

    rows: `module:function`, the function as `Rows`. seconds: the most that the part may take; a
    row that is still running then is ended.
    """

    name: str
    rows: str
    seconds: float
    asks: str

    def load(self) -> Rows:
        """Raises ImportError for a package that is not there."""
        module, _, function = self.rows.partition(":")
        found: Rows = getattr(importlib.import_module(module), function)
        return found


PLAN: Final = (
    Part("machine", f"{FOLDER}.machine:rows", 40, "versions; what it can do at most"),
    Part("numerics", f"{FOLDER}.numerics:rows", 120, "the fused kernel's error against fp32"),
    Part("segments", f"{FOLDER}.segments:rows", 90, "reading in place, against cat + SDPA"),
    Part("sdxl", f"{FOLDER}.unet_step:sdxl", 150, "a step of SDXL at 1024 px, beside diffusers"),
    Part("sd15", f"{FOLDER}.unet_step:sd15", 90, "a step of SD1.5 at 512 px, beside diffusers"),
    Part("tune", f"{FOLDER}.tune:rows", 240, "the fastest tile of each kind of layer"),
)
"""At most seven files, one for each part."""
