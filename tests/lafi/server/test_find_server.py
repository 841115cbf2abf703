import shutil
import tempfile
from pathlib import Path

import pytest
from installed_triton import install_triton

from lafi.app import doctor
from lafi.server import find_server as finding
from lafi.server.find_server import (
    VARIABLE,
    WHEEL,
    BackendMissingError,
    check_backends,
    find_server,
    places,
)
from lafi.server.supervisor import Supervisor
from lafi.server.triton_install import STUB, ServerUnavailableError, TritonInstall
from lafi.wire.model_spec import config_pbtxt, vae_decoder_spec
from model_infos import model_info, save_facts

MODEL = """
import triton_python_backend_utils

class TritonPythonModel:
    def execute(self, requests):
        return []
"""


@pytest.fixture(autouse=True)
def no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the wheel alone; returns where the image's server would be."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(finding, "IMAGE", tmp_path / "image")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "image"


def repository(folder: Path) -> Path:
    for name in ("storyboard", "vae_decoder"):
        model = folder / "models" / name
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text('backend: "python"\n')
        (model / "1" / "model.py").write_text(MODEL)
    return save_facts(folder)


def test_what_is_asked_for_comes_first_then_the_image_then_the_wheel(
    tmp_path: Path, no_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_server().origin.startswith("nvidia-pytriton")
    install_triton(no_image, "2.60.0")
    assert find_server().origin == str(no_image)
    named = install_triton(tmp_path / "named", "2.61.0")
    monkeypatch.setenv(VARIABLE, str(named))
    assert find_server().origin == str(named)
    asked = install_triton(tmp_path / "asked", "2.62.0")
    assert find_server(str(asked)).version == "2.62.0"
    assert find_server(WHEEL).version == "2.51.0"


def test_what_is_asked_for_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    text = rf"no Triton Server: --triton-server {nowhere}: {nowhere} has no bin/tritonserver$"
    with pytest.raises(ServerUnavailableError, match=text):
        find_server(str(nowhere))
    monkeypatch.setenv(VARIABLE, str(nowhere))
    with pytest.raises(ServerUnavailableError, match=rf"{VARIABLE}={nowhere}: "):
        find_server()


def test_an_image_without_its_stub_is_not_passed_over(no_image: Path) -> None:
    install_triton(no_image)
    (no_image / "backends" / "python" / STUB).unlink()
    with pytest.raises(ServerUnavailableError, match=r"has no .*; --triton-server wheel takes the"):
        find_server()
    assert find_server(WHEEL).origin.startswith("nvidia-pytriton")


def test_where_it_was_looked_for_is_told(no_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> TritonInstall:
        raise ServerUnavailableError("the package is not installed")

    monkeypatch.setattr(finding, "find_embedded_server", none)
    text = f"no Triton Server: {no_image} is not there; the wheel: the package is not installed"
    with pytest.raises(ServerUnavailableError, match=text):
        find_server()
    assert [place.there for place in places()] == [False, True]


def test_a_model_of_a_missing_backend_is_refused_by_name(tmp_path: Path) -> None:
    served = repository(tmp_path / "r")
    text = config_pbtxt(vae_decoder_spec(model_info()), backend="tensorrt", kind="KIND_GPU")
    (served / "models" / "vae_decoder" / "config.pbtxt").write_text(text)
    models = ("storyboard", "vae_decoder")
    with pytest.raises(BackendMissingError, match="vae_decoder needs the backend tensorrt"):
        check_backends(served, models, find_server())
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ServerUnavailableError, match=r"has python; name another with --triton-se"):
        Supervisor(served).start()
    assert {path.name for path in tmp_path.iterdir()} == before
    image = install_triton(tmp_path / "t", others=("tensorrt",))
    check_backends(served, models, find_server(str(image)))


def test_a_server_of_another_folder_is_run(tmp_path: Path) -> None:
    root = install_triton(tmp_path / "t", others=("tensorrt",))
    script = root / "bin" / "tritonserver"
    real = script.resolve()
    script.unlink()
    script.write_text(f'#!/bin/sh\necho "$0 $@" > {tmp_path}/called\nexec {real} "$@"\n')
    script.chmod(0o755)
    with Supervisor(repository(tmp_path / "r"), triton_server=str(root)) as server:
        assert server.is_ready()
        assert server.models == ("storyboard", "vae_decoder")
    called = (tmp_path / "called").read_text().split()
    assert called[0] == str(script)
    assert "--backend-directory=" in " ".join(called)


def test_doctor_tells_versions_and_backends(no_image: Path) -> None:
    (alone,) = doctor.check_servers()
    assert alone.detail.startswith("2.51.0 (nvidia-pytriton 0.7.0); backends: Python; none")
    install_triton(no_image, "2.60.0", ("onnxruntime", "tensorrt"))
    image, wheel = doctor.check_servers()
    assert image.state is doctor.State.OK
    assert image.detail == f"2.60.0 ({no_image}); backends: Python, TensorRT, ONNX Runtime"
    assert wheel.state is doctor.State.NOTE
    assert "--triton-server wheel" in wheel.advice
    shutil.rmtree(no_image / "bin")
    (broken,) = doctor.check_servers()
    assert broken.state is doctor.State.MISSING
    assert "has no bin/tritonserver" in broken.advice
