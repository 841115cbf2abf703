"""A plan of parts that need nothing. As a program it asks them, as `benchmarks.first_on_gpu` does.

A file `fail`, `die`, `hang` or `missing` in the folder decides what the parts do.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.first_on_gpu.asking import ask_all
from benchmarks.first_on_gpu.plan import NotHere, Part, Row, Setting

FOLDER = Path(os.environ.get("TOY_FOLDER", "."))


def does(what: str) -> bool:
    return (FOLDER / what).exists()


def said(name: str) -> Mapping[str, Any]:
    with (FOLDER / "asked").open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")
    return {"number": 1.5}


def failing() -> Mapping[str, Any]:
    if does("die"):
        os._exit(7)
    if does("hang"):
        time.sleep(60)
    if does("fail"):
        raise ValueError("a toy that breaks")
    if does("missing"):
        raise NotHere("a toy that is not there")
    return said("second")


def rows(setting: Setting) -> Sequence[Row]:
    return [
        Row("first", lambda: said("first")),
        Row("second", failing),
        Row("third", lambda: said("third")),
    ]


def lacking(setting: Setting) -> Sequence[Row]:
    if does("lack"):
        raise ImportError("No module named 'toys'")
    return [Row("only", lambda: said("only"))]


PLAN = (
    Part("toy", "toy_parts:rows", 2, "three things"),
    Part("other", "toy_parts:lacking", 2, "one thing"),
)

if __name__ == "__main__":
    device, size, folder, call, seconds, *names = sys.argv[1:]
    alive = (lambda: False) if does("broken") else (lambda: True)
    plan = [part for part in PLAN if part.name in names]
    setting = Setting(device, size)
    raise SystemExit(ask_all(plan, setting, Path(folder), call, float(seconds), alive))
