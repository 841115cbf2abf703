"""Another version of the package beside this one: its own files, with another `DRAWING_VERSION`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import lafi
from lafi.drawing.content_address import DRAWING_VERSION


def other_version(folder: Path) -> Path:
    """Makes an environment in `folder`, which is not there yet; returns its Python.

    It has the packages of this environment, and `lafi` as a copy that counts its drawings as one
    version newer.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    source = Path(lafi.__file__).parent
    own = folder / "version"
    shutil.copytree(source, own / "lafi", ignore=shutil.ignore_patterns("__pycache__"))
    address = own / "lafi" / "drawing" / "content_address.py"
    text = address.read_text(encoding="utf-8")
    ours = f"\nDRAWING_VERSION = {DRAWING_VERSION}\n"
    if text.count(ours) != 1:
        raise ValueError(f"{address}: got no line {ours.strip()!r}, allowed one")
    newer = text.replace(ours, f"\nDRAWING_VERSION = {DRAWING_VERSION + 1}\n")
    address.write_text(newer, encoding="utf-8")
    (packages,) = folder.glob("lib/python*/site-packages")
    # In the order of their names: what comes first on the path is found first.
    (packages / "a_own.pth").write_text(f"{own}\n")
    interpreter = Path(sys.base_prefix).resolve()
    lines = [
        f"import site; site.addsitedir({path!r})"
        for path in map(str, map(Path.absolute, map(Path, filter(None, sys.path))))
        if Path(path).is_dir()
        and (path.endswith("site-packages") or interpreter not in Path(path).resolve().parents)
    ]
    (packages / "b_shared.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin" / "python"
