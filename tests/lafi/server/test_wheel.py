import importlib.metadata
import sys
from pathlib import Path

import pytest

from lafi.server import triton_install
from lafi.server.triton_install import STUB, ServerUnavailableError
from lafi.server.wheel import find_embedded_server


def test_this_environment_has_a_server() -> None:
    server = find_embedded_server()
    assert server.binary.name == "tritonserver"
    assert server.stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert all(folder.is_dir() for folder in server.libraries)


def test_the_backend_is_laid_out_with_the_stub_of_this_python(tmp_path: Path) -> None:
    binary, backends = find_embedded_server().lay_out(tmp_path)
    names = {path.name for path in (backends / "python").iterdir()}
    assert {STUB, "libtriton_python.so", "triton_python_backend_utils.py"} <= names
    assert binary.is_file()


@pytest.mark.parametrize(
    ("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "aarch64")]
)
def test_another_platform_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    text = f"Linux x86_64 only, and this is {system} {machine}: run `lafi serve` on a Linux machine"
    with pytest.raises(ServerUnavailableError, match=text):
        find_embedded_server()


@pytest.mark.parametrize("libc", [("glibc", "2.31"), ("", "")])
def test_an_old_c_library_is_told_what_to_use(
    monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str]
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    with pytest.raises(ServerUnavailableError, match=r"needs glibc 2\.34 or newer.*Debian 12"):
        find_embedded_server()


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", missing)
    with pytest.raises(ServerUnavailableError, match=r"pip install 'lafi\[serve\]'"):
        find_embedded_server()


def test_numpy_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.3.1")
    with pytest.raises(ServerUnavailableError, match=r"numpy 2\.3\.1 is installed"):
        find_embedded_server()


def test_another_python_is_told_which_ones_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Version(tuple[int, ...]):
        major, minor = 4, 0

    monkeypatch.setattr(triton_install.sys, "version_info", Version((4, 0)))
    with pytest.raises(ServerUnavailableError, match=r"for Python 4\.0, only for .*3\.11"):
        find_embedded_server()
