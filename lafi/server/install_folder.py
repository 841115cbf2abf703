"""Reads a folder that a Triton Server is installed in, as NVIDIA's images have it.

ROOT/bin/tritonserver    ROOT/TRITON_VERSION    ROOT/lib/
ROOT/backends/python/    libtriton_python.so, triton_python_backend_utils.py and the stub
ROOT/backends/NAME/      libtriton_NAME.so, for each of the others
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from lafi.server.triton_install import (
    PYTHON,
    STUB,
    ServerUnavailableError,
    TritonInstall,
    libpython_folder,
    this_python,
)
from lafi.server.wheel import check_numpy

_NUMPY_1 = (2, 51)
"""The newest server whose stub is known to need numpy below 2."""


def read_install_folder(root: Path) -> TritonInstall:
    """The server in that folder. Raises ServerUnavailableError, naming what it lacks."""
    root = root.resolve()
    backend = root / "backends" / PYTHON
    needed = (root / "bin" / "tritonserver", backend / "libtriton_python.so", backend / STUB)
    for part in needed:
        if not part.is_file():
            raise ServerUnavailableError(f"{root} has no {part.relative_to(root)}")
    binary, _, stub = needed
    _check_stub(stub)
    file = root / "TRITON_VERSION"
    version = file.read_text(encoding="ascii", errors="replace").strip() if file.is_file() else ""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers <= _NUMPY_1:
        check_numpy(importlib.metadata.version("numpy"))
    own = (root / "lib",) if (root / "lib").is_dir() else ()
    libraries = (*own, *libpython_folder(this_python()))
    others = tuple(
        folder
        for folder in sorted((root / "backends").iterdir())
        if folder.name != PYTHON and (folder / f"libtriton_{folder.name}.so").is_file()
    )
    return TritonInstall(str(root), version, binary, backend, stub, libraries, others)


def _check_stub(stub: Path) -> None:
    """Refuses a stub that names the library of another Python than this one."""
    named = re.findall(rb"libpython(3\.\d+)\.so", stub.read_bytes())
    versions = sorted({version.decode() for version in named})
    if versions and this_python() not in versions:
        raise ServerUnavailableError(
            f"{stub} is for Python {', '.join(versions)}, and this is Python {this_python()}; make "
            "the virtual environment with that one"
        )
