"""NVIDIA's perf_analyzer 2.51 against the running server: the binary, and one run of it.

The binary is in the manylinux1 wheel of tritonclient 2.51.0; later ones need glibc 2.38. Two
libraries that it links to are in nvidia-pytriton's wheel under other names.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from lafi.server.wheel import find_embedded_server

WHEEL = "tritonclient-2.51.0-py3-none-manylinux1_x86_64.whl"
WHEEL_SHA256 = "c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52"
BINARY = "tritonclient-2.51.0.data/data/bin/perf_analyzer"
LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
DOWNLOAD = ("--no-deps", "--only-binary", ":all:", "--platform", "manylinux1_x86_64")


class PerfAnalyzerError(RuntimeError):
    """perf_analyzer is not available, or it failed; the text quotes it."""


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """The binary and the folder with the libraries it needs."""

    binary: Path
    libraries: Path

    def run(self, arguments: list[str], timeout: float) -> str:
        """What it prints. Raises PerfAnalyzerError if it fails or takes longer (seconds)."""
        inherited = os.environ.get("LD_LIBRARY_PATH", "")
        path = os.pathsep.join(filter(None, [str(self.libraries), inherited]))
        command = [str(self.binary), *arguments]
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                env={**os.environ, "LD_LIBRARY_PATH": path},
            )
        except subprocess.TimeoutExpired as error:
            raise PerfAnalyzerError(f"no end after {timeout:.0f} s: {error.cmd}") from None
        if ended.returncode:
            output = "\n".join((ended.stdout + ended.stderr).splitlines()[:20])
            raise PerfAnalyzerError(f"ended with code {ended.returncode}: {command}\n{output}")
        return ended.stdout


def find_perf_analyzer(folder: Path) -> PerfAnalyzer:
    """perf_analyzer in `folder`, where it is unpacked once; pip downloads the wheel if need be."""
    binary = folder / "perf_analyzer"
    if not binary.is_file():
        wheel = folder / WHEEL
        if not wheel.is_file():
            _download(folder)
        unpack(wheel, binary, WHEEL_SHA256)
    libraries = folder / "libraries"
    link_libraries(find_embedded_server().libraries[0], libraries)
    return PerfAnalyzer(binary, libraries)


def unpack(wheel: Path, binary: Path, sha256: str) -> None:
    """Writes the executable out of the wheel. Raises PerfAnalyzerError for another wheel."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        raise PerfAnalyzerError(f"{wheel}: SHA-256: got {found}, allowed {sha256}")
    with zipfile.ZipFile(wheel) as archive:
        binary.write_bytes(archive.read(BINARY))
    binary.chmod(0o755)


def link_libraries(wheels_libraries: Path, folder: Path) -> None:
    """Links with the names that the binary needs. Raises PerfAnalyzerError if one is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in LIBRARIES.items():
        found = sorted(wheels_libraries.glob(pattern))
        if not found:
            raise PerfAnalyzerError(f"{wheels_libraries}: got no {pattern}, allowed one")
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(found[0])


def _download(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", *DOWNLOAD]
    wanted = "==".join(WHEEL.split("-")[:2])
    ended = subprocess.run(
        [*command, "-d", str(folder), wanted], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise PerfAnalyzerError(f"pip cannot download {wanted}:\n{ended.stderr.strip()}")
