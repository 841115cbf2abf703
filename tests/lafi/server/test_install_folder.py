from pathlib import Path

import pytest
from installed_triton import install_triton

from lafi.server.install_folder import read_install_folder
from lafi.server.triton_install import STUB, ServerUnavailableError, this_python


def test_a_folder_as_images_have_it_is_read(tmp_path: Path) -> None:
    root = install_triton(tmp_path / "t", "2.60.1", ("onnxruntime", "tensorrt"))
    (root / "backends" / "empty").mkdir()
    server = read_install_folder(root)
    assert (server.origin, server.version) == (str(root), "2.60.1")
    assert server.backends == ("python", "onnxruntime", "tensorrt")
    assert server.libraries[0] == root / "lib"
    _, backends = server.lay_out(tmp_path)
    assert {path.name for path in backends.iterdir()} == set(server.backends)
    assert (backends / "tensorrt" / "libtriton_tensorrt.so").is_file()
    names = {path.name for path in (backends / "python").iterdir()}
    assert names == {STUB, "libtriton_python.so", "triton_python_backend_utils.py"}


@pytest.mark.parametrize(
    "part", ["bin/tritonserver", "backends/python/libtriton_python.so", f"backends/python/{STUB}"]
)
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    root = install_triton(tmp_path / "t")
    (root / part).unlink()
    with pytest.raises(ServerUnavailableError, match=f"{root} has no {part}"):
        read_install_folder(root)


def test_a_stub_for_another_python_is_refused(tmp_path: Path) -> None:
    root = install_triton(tmp_path / "t")
    stub = root / "backends" / "python" / STUB
    stub.unlink()
    stub.write_bytes(b"\x7fELF libpython3.99.so.1.0 ")
    text = rf"is for Python 3\.99, and this is Python {this_python()}"
    with pytest.raises(ServerUnavailableError, match=text):
        read_install_folder(root)


@pytest.mark.parametrize(
    ("version", "refused"), [("2.51.0", True), ("2.9.0", True), ("2.60.0", False), ("dev", False)]
)
def test_numpy_2_is_refused_with_old_servers_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, refused: bool
) -> None:
    root = install_triton(tmp_path / "t", version)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.3.1")
    if not refused:
        assert read_install_folder(root).version == version
        return
    with pytest.raises(ServerUnavailableError, match=r"numpy 2\.3\.1 is installed"):
        read_install_folder(root)


def test_a_version_that_nothing_says_is_told_as_such(tmp_path: Path) -> None:
    root = install_triton(tmp_path / "t")
    (root / "TRITON_VERSION").unlink()
    assert str(read_install_folder(root)) == f"of unknown version ({root})"
