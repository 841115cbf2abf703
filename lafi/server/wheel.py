"""Finds the Triton Server inside the wheel `nvidia-pytriton` and prepares a folder to run it from.

Uses only the binary, the Python backend and its stub, not pytriton's own API. The server expects
the stub for *this* Python beside the backend's library. So every server gets a new backend folder,
made of symlinks where the file system has them.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTION = "nvidia-pytriton"
STUB = "triton_python_backend_stub"
INSTALL_HINT = "install the server with: pip install 'lafi[serve]'"


class ServerUnavailableError(RuntimeError):
    """The embedded Triton Server cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """Paths of the embedded server's parts.

    binary: the `tritonserver` executable; backend: the folder of the Python backend; stub: the
    Python backend's process for this Python; libraries: folders for LD_LIBRARY_PATH, in order.
    """

    binary: Path
    backend: Path
    stub: Path
    libraries: tuple[Path, ...]

    def lay_out(self, folder: Path) -> tuple[Path, Path]:
        """Makes a backend folder under `folder`; returns (executable, backend directory)."""
        python_backend = folder / "backends" / "python"
        python_backend.mkdir(parents=True)
        for source in sorted(self.backend.iterdir()):
            if source.is_file():
                _place(source, python_backend / source.name)
        _place(self.stub, python_backend / STUB, executable=True)
        binary = self.binary
        if not os.access(binary, os.X_OK):
            binary = folder / "tritonserver"
            _place(self.binary, binary, executable=True)
        return binary, python_backend.parent


def find_embedded_server() -> EmbeddedServer:
    """The embedded server of this environment. Raises ServerUnavailableError if incomplete."""
    _check_platform(platform.system(), platform.machine())
    root = _wheel_root()
    server = root / "pytriton" / "tritonserver"
    binary = server / "bin" / "tritonserver"
    backend = server / "backends" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
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
    _check_numpy(importlib.metadata.version("numpy"))
    libraries = (root / "nvidia_pytriton.libs", *_libpython_folder(version))
    return EmbeddedServer(binary, backend, stub, libraries)


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


def _wheel_root() -> Path:
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ServerUnavailableError(
            f"the package {DISTRIBUTION}, which carries Triton Server, is not installed; "
            f"{INSTALL_HINT}"
        ) from None
    return Path(str(distribution.locate_file("")))


def _check_numpy(version: str) -> None:
    """Refuses numpy 2, with which this server's stub corrupts BYTES tensors and then aborts."""
    if int(version.split(".")[0]) >= 2:
        raise ServerUnavailableError(
            f"the embedded Triton Server needs numpy below 2, and numpy {version} is installed; "
            "install it with: pip install 'numpy<2'"
        )


def _libpython_folder(version: str) -> tuple[Path, ...]:
    """The folder of this interpreter's shared library, which the stub links to."""
    name = f"libpython{version}.so.1.0"
    folder = Path(str(sysconfig.get_config_var("LIBDIR") or ""))
    if (folder / name).is_file():
        return (folder,)
    try:
        ctypes.CDLL(name, mode=os.RTLD_LAZY | os.RTLD_LOCAL)
    except OSError:
        raise ServerUnavailableError(
            f"the embedded Triton Server needs {name}, which this Python was built without; "
            f"install the system package libpython{version}, or use a Python built with "
            "--enable-shared"
        ) from None
    return ()


def _place(source: Path, target: Path, *, executable: bool = False) -> None:
    """Symlinks `target` to `source`; copies it if that fails or the executable bit is missing."""
    if not executable or os.access(source, os.X_OK):
        try:
            target.symlink_to(source)
        except OSError:
            pass
        else:
            return
    shutil.copyfile(source, target)
    if executable:
        target.chmod(0o755)
