"""What a GPU is asked first: numerics, time and memory of the kernel and of a UNet's step.

    python -m benchmarks.first_on_gpu --out FOLDER    a GPU, five minutes at most; again: the rest
    python -m benchmarks.first_on_gpu --device cpu --size small --out FOLDER    tries the script
    python -m benchmarks.first_on_gpu --count         counts the work beforehand, on any machine

Each part writes `FOLDER/PART.json` after every row. A second call asks what has no result yet,
what failed last. Needs torch, Triton-lang, matplotlib and rich; parts that lack another package say
so and are asked again when it is there. Exits with 2 without a GPU, with 1 while something is open.
Not run on a GPU yet.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.first_on_gpu import record as records
from benchmarks.first_on_gpu.asking import ask_all
from benchmarks.first_on_gpu.plan import PLAN, Part, Setting
from benchmarks.first_on_gpu.runner import run

SECONDS = 285.0


def gpu_is_there() -> bool:
    """Whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def show(plan: tuple[Part, ...], setting: Setting, folder: Path, console: Console) -> bool:
    """Every row as a line; whether all parts are done."""
    table = Table(title=f"{setting.device}, {setting.size}")
    for column in ("part", "row", "seconds", "what it gave"):
        table.add_column(column, overflow="fold")
    done = True
    for part in plan:
        record = records.read(folder, part.name, setting.device, setting.size)
        done &= record.state == records.DONE
        table.add_row(part.name, f"[{record.state}]", "", record.why or part.asks)
        for name, outcome in record.rows.items():
            said = outcome.get("error") or outcome.get("not_run") or _figures(outcome["result"])
            table.add_row("", name, str(outcome.get("seconds", "")), said)
    console.print(table, markup=False)
    return done


def _figures(result: dict[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in result.items()
    )


def ask(arguments: list[str]) -> int:
    """The process that measures: device, size, folder, call, seconds and names of parts."""
    device, size, folder, call, seconds, *names = arguments
    plan = [part for part in PLAN if part.name in names]
    return ask_all(plan, Setting(device, size), Path(folder), call, float(seconds))


def main() -> None:
    """Count, or ask and show what is known."""
    if sys.argv[1:2] == ["--asking"]:
        raise SystemExit(ask(sys.argv[2:]))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.first_on_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="folder of the parts' files")
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:<index> or cpu")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of this call, at most")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PLAN])
    parser.add_argument("--count", action="store_true", help="write the counted work and stop")
    arguments = parser.parse_args()
    if arguments.count:
        from benchmarks.first_on_gpu.counted import write_counted

        print(json.dumps(write_counted(), indent=1))
        return
    if arguments.out is None:
        parser.error("--out: got none, allowed a folder")
    if arguments.seconds <= 0:
        parser.error(f"--seconds: got {arguments.seconds:g}, allowed more than 0")
    setting = Setting(arguments.device, arguments.size)
    if setting.on_gpu and not gpu_is_there():
        print("no CUDA device; --device cpu --size small tries the script", file=sys.stderr)
        raise SystemExit(2)
    plan = tuple(part for part in PLAN if part.name in (arguments.only or [p.name for p in PLAN]))
    run(plan, setting, arguments.out, arguments.seconds)
    raise SystemExit(0 if show(plan, setting, arguments.out, Console()) else 1)


if __name__ == "__main__":
    main()
