"""An installed Triton Server: where its parts are, and a folder to run it from."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

STUB = "triton_python_backend_stub"
"""The Python backend's process for one version of Python."""
PYTHON = "python"
"""The backend that every repository of ours needs."""


class ServerUnavailableError(RuntimeError):
    """Triton Server cannot run here; the text says why."""


@dataclass(frozen=True, slots=True)
class TritonInstall:
    """The parts of a Triton Server that can run our adapters here.

    origin: whence it is, for people. version: such as 2.51.0, "" if nothing says it. binary: the
    `tritonserver` executable. backend: the folder of the Python backend. stub: the Python backend's
    process for this Python. libraries: folders for LD_LIBRARY_PATH, in order. others: the folders
    of further backends, by their names.
    """

    origin: str
    version: str
    binary: Path
    backend: Path
    stub: Path
    libraries: tuple[Path, ...]
    others: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return f"{self.version or 'of unknown version'} ({self.origin})"

    @property
    def backends(self) -> tuple[str, ...]:
        """Names of all backends."""
        return (PYTHON, *(folder.name for folder in self.others))

    def lay_out(self, folder: Path) -> tuple[Path, Path]:
        """Makes a backend folder under `folder`; returns (executable, backend directory)."""
        python_backend = folder / "backends" / PYTHON
        python_backend.mkdir(parents=True)
        for source in sorted(self.backend.iterdir()):
            if source.is_file() and source.name != STUB:
                _place(source, python_backend / source.name)
        _place(self.stub, python_backend / STUB, executable=True)
        for other in self.others:
            (python_backend.parent / other.name).symlink_to(other, target_is_directory=True)
        binary = self.binary
        if not os.access(binary, os.X_OK):
            binary = folder / "tritonserver"
            _place(self.binary, binary, executable=True)
        return binary, python_backend.parent


def this_python() -> str:
    """The version of this Python as stubs name it, such as 3.11."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def libpython_folder(version: str) -> tuple[Path, ...]:
    """The folder of this interpreter's shared library, which the stub links to.

    Nothing where the loader finds it by itself. Raises ServerUnavailableError where nobody does.
    """
    name = f"libpython{version}.so.1.0"
    folder = Path(str(sysconfig.get_config_var("LIBDIR") or ""))
    if (folder / name).is_file():
        return (folder,)
    try:
        ctypes.CDLL(name, mode=os.RTLD_LAZY | os.RTLD_LOCAL)
    except OSError:
        raise ServerUnavailableError(
            f"Triton Server needs {name}, which this Python was built without; "
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
