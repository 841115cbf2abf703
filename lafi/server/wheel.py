"""Finds the Triton Server inside the wheel `nvidia-pytriton`.

Uses only the binary, the Python backend and its stub, not pytriton's own API. The server expects
the stub for *this* Python beside the backend's library.
"""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from lafi.server.triton_install import (
    STUB,
    ServerUnavailableError,
    TritonInstall,
    libpython_folder,
    this_python,
)

DISTRIBUTION = "nvidia-pytriton"
INSTALL_HINT = "install the server with: pip install 'lafi[serve]'"
_SERVERS = {"0.7.0": "2.51.0"}
"""Version of the wheel -> version of the Triton Server in it, which no file says."""


def find_embedded_server() -> TritonInstall:
    """The embedded server of this environment. Raises ServerUnavailableError if incomplete."""
    _check_platform(platform.system(), platform.machine())
    distribution = _distribution()
    root = Path(str(distribution.locate_file("")))
    server = root / "pytriton" / "tritonserver"
    binary = server / "bin" / "tritonserver"
    backend = server / "backends" / "python"
    version = this_python()
    stub = server / "python_backend_stubs" / version / STUB
    for part in (binary, backend / "libtriton_python.so"):
        if not part.is_file():
            raise ServerUnavailableError(
                f"{DISTRIBUTION} is installed without {part.relative_to(root)}; {INSTALL_HINT}"
            )
    if not stub.is_file():
        known = sorted(p.parent.name for p in stub.parent.parent.glob(f"*/{STUB}"))
        raise ServerUnavailableError(
            f"{DISTRIBUTION} has no Python backend for Python {version}, only for "
            f"{', '.join(known) or 'none'}; make the virtual environment with one of those"
        )
    check_numpy(importlib.metadata.version("numpy"))
    libraries = (root / "nvidia_pytriton.libs", *libpython_folder(version))
    origin = f"{DISTRIBUTION} {distribution.version}"
    found = _SERVERS.get(distribution.version, "")
    return TritonInstall(origin, found, binary, backend, stub, libraries)


def check_numpy(version: str) -> None:
    """Refuses numpy 2, with which the stub of 2.51 corrupts BYTES tensors and then aborts."""
    if int(version.split(".")[0]) >= 2:
        raise ServerUnavailableError(
            f"Triton Server 2.51 and older need numpy below 2, and numpy {version} is installed; "
            "install it with: pip install 'numpy<2'"
        )


def _check_platform(system: str, machine: str) -> None:
    if (system, machine) != ("Linux", "x86_64"):
        raise ServerUnavailableError(
            "the embedded Triton Server runs on Linux x86_64 only, and this is "
            f"{system} {machine}: run `lafi serve` on a Linux machine or in a Linux container, "
            "and draw from here with `lafi draw --url HOST:PORT`"
        )
    libc, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if libc != "glibc" or numbers < (2, 34):
        raise ServerUnavailableError(
            f"the embedded Triton Server needs glibc 2.34 or newer, and this is "
            f"{libc or 'another C library'} {version}: use Debian 12, Ubuntu 22.04 or newer"
        )


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ServerUnavailableError(
            f"the package {DISTRIBUTION}, which carries Triton Server, is not installed; "
            f"{INSTALL_HINT}"
        ) from None
