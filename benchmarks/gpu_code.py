"""Counts the code for TensorRT, and which of it runs while the real TensorRT-RTX builds engines.

    python -m benchmarks.gpu_code [--repository out/repository] [--before COMMIT] [--out FILE]

Builds all engines of an exported repository, without a GPU, as `benchmarks/tensorrt_rtx.py` does,
and traces the lines of FILES that run meanwhile. Lines: all of a file, texts and comments too.
Code: lines within functions that Python may run; what runs when a module is imported is not
counted, since that says nothing of TensorRT. What is left over runs only on a GPU, only with
TensorRT, or where something is refused. `--before` counts the files of an earlier commit too, and
wants git. Writes `results/gpu_code.json`.
"""

import argparse
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.tensorrt_rtx import CHOICES, build_all

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "gpu_code.json"
FILES: Final = (
    "export/lafi_export/tensorrt_*.py",
    "export/lafi_export/upscaler/tensorrt.py",
    "kernels/lafi_kernels/cuda.py",
    "kernels/lafi_kernels/tensorrt_*.py",
    "lafi/engine/cuda/*.py",
    "lafi/engine/tensorrt/*.py",
    "lafi/engine/torch/graphs.py",
    "lafi/model/engine_metadata.py",
)
"""What is there for TensorRT alone, and the CUDA graphs that it shares with the torch engine."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines of one file. code: of functions; ran: of those, while engines were built."""

    lines: int
    code: int
    ran: int


def lines_of_functions(source: str, name: str = "file") -> set[int]:
    """Numbers of the lines within functions that Python may run, those of `def` left out."""
    found: set[int] = set()
    waiting: list[CodeType] = [compile(source, name, "exec")]
    while waiting:
        code = waiting.pop()
        # The bodies of modules and classes are none.
        if code.co_flags & inspect.CO_OPTIMIZED:
            found |= {line for *_, line in code.co_lines() if line and line != code.co_firstlineno}
        waiting += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return found


@contextmanager
def traced(files: set[str]) -> Iterator[Mapping[str, set[int]]]:
    """By file, the lines that run meanwhile, in all threads that start."""
    ran: dict[str, set[int]] = {file: set() for file in files}

    def call(frame: FrameType, event: str, _: Any) -> Any:
        lines = ran.get(frame.f_code.co_filename)
        if lines is None:
            return None

        def line(frame: FrameType, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line

    before = sys.gettrace()
    threading.settrace(call)
    sys.settrace(call)
    try:
        yield ran
    finally:
        sys.settrace(before)
        threading.settrace(before)


def files_here() -> list[Path]:
    """All of FILES, in the order of their names."""
    return sorted(path for pattern in FILES for path in ROOT.glob(pattern))


def count(ran: Mapping[str, set[int]]) -> dict[str, Counted]:
    """By path from the project's root. ran: as `traced` gives it."""
    counted = {}
    for path in files_here():
        source = path.read_text(encoding="utf-8")
        code = lines_of_functions(source, str(path))
        name = path.relative_to(ROOT).as_posix()
        counted[name] = Counted(
            len(source.splitlines()), len(code), len(code & ran.get(str(path), set()))
        )
    return counted


def lines_before(commit: str) -> int:
    """Lines of FILES as they were at a commit. Raises CalledProcessError for one that is none."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True)
        return done.stdout.decode()

    names = git("ls-tree", "-r", "--name-only", commit).splitlines()
    chosen = [name for name in names if any(fnmatch(name, pattern) for pattern in FILES)]
    return sum(len(git("show", f"{commit}:{name}").splitlines()) for name in chosen)


def measure(repository: Path) -> dict[str, Counted]:
    """Counts while all engines of an exported repository are built for SM89."""
    with traced({str(path) for path in files_here()}) as ran:
        build_all(repository, ("SM89",), list(CHOICES))
    return count(ran)


def sums(counted: Mapping[str, Counted]) -> Counted:
    """Of all files."""
    return Counted(
        sum(one.lines for one in counted.values()),
        sum(one.code for one in counted.values()),
        sum(one.ran for one in counted.values()),
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repository", type=Path, default=Path("out/repository"))
    parser.add_argument("--before", metavar="COMMIT")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    before = {"before": lines_before(asked.before)} if asked.before else {}
    counted = measure(asked.repository)
    whole = sums(counted)
    table = Table(title="Code for TensorRT")
    for column in ("file", "lines", "of functions", "ran while engines were built"):
        table.add_column(column)
    for name, one in (*counted.items(), ("all", whole)):
        table.add_row(name, *map(str, asdict(one).values()))
    Console().print(table)
    told = {**before, "all": asdict(whole)}
    told["files"] = {name: asdict(one) for name, one in counted.items()}
    asked.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
