"""The doctor's findings, one check at a time, and its exit code."""

import io
import socket
from pathlib import Path

import pytest
from rich.console import Console

from lafi.app import doctor
from lafi.app.doctor import GIB, MIB, Finding, State
from lafi.app.machine import Gpu
from lafi.model.info import ModelInfo, variant_folder
from lafi.server.find_server import WHEEL
from model_infos import save_facts


def console() -> Console:
    return Console(file=io.StringIO(), width=200, highlight=False)


def printed(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


CASES = [
    (doctor.check_platform("Linux", "x86_64"), State.OK, "Linux x86_64", ""),
    (doctor.check_platform("Darwin", "arm64"), State.MISSING, "Darwin arm64", "Linux x86_64"),
    (doctor.check_python((3, 12)), State.OK, "3.12", ""),
    (doctor.check_python((3, 13)), State.MISSING, "3.13", "3.11 or 3.12"),
    (doctor.check_cores(8.0), State.OK, "8", ""),
    (doctor.check_cores(0.5), State.NOTE, "0.5", "two cores"),
    (doctor.check_memory(4 * GIB), State.OK, "4.0 GiB", ""),
    (doctor.check_memory(GIB), State.NOTE, "1.0 GiB", "2 GiB"),
    (doctor.check_memory(None), State.NOTE, "unknown", "2 GiB"),
    (doctor.check_shared_memory((GIB, GIB)), State.OK, "1024 of 1024 MiB free", ""),
    (doctor.check_shared_memory((64 * MIB, 60 * MIB)), State.NOTE, "60 of 64", "--shm-size"),
    (doctor.check_shared_memory((64 * MIB, MIB)), State.MISSING, "1 of 64", "--shm-size"),
    (doctor.check_shared_memory(None), State.MISSING, "not there", "tmpfs"),
    (doctor.check_instructions("A", frozenset({"amx_bf16"})), State.OK, "A: amx_bf16", ""),
    (doctor.check_instructions("", frozenset()), State.NOTE, "unknown CPU", "f32"),
    (doctor.check_gpus(()), State.NOTE, "none", "not needed"),
    (doctor.check_gpus([Gpu("H200", 143771, "570")]), State.OK, "H200, 143771 MiB", ""),
    (doctor.check_bundled_model(None), State.NOTE, "not there", "tiny_model/weights"),
    (doctor.check_repository(None), State.NOTE, "none given", "--repository"),
]


@pytest.mark.parametrize(("finding", "state", "detail", "advice"), CASES)
def test_checks(finding: Finding, state: State, detail: str, advice: str):
    assert finding.state is state
    assert detail in finding.detail
    assert advice in finding.advice
    assert bool(finding.advice) == (finding.state is not State.OK)


def test_an_extra_that_lacks_a_package_says_how_to_get_it():
    lines = ["rich>=13", 'no-such-thing==1; extra == "serve"', 'nor-this; extra == "train"']
    client, serve, train = doctor.check_packages(lines, ["serve", "train"])
    assert client.state is State.OK
    assert (serve.state, train.state) == (State.MISSING, State.NOTE)
    assert serve.detail == "draw, and run Triton Server: no-such-thing==1 is missing"
    assert serve.advice == "pip install 'lafi[serve]'"


def test_without_the_distribution_nothing_is_known():
    (finding,) = doctor.check_packages([], [])
    assert finding.state is State.MISSING
    assert "make setup" in finding.advice


def test_the_embedded_server_starts_here():
    finding = doctor.check_servers(WHEEL)[0]
    assert (finding.state, finding.advice) == (State.OK, "")
    assert finding.detail.startswith("2.51.0 (nvidia-pytriton 0.7.0); backends: Python; none for")


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path):
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho libx.so.1: cannot open shared object >&2\nexit 127\n")
    program.chmod(0o755)
    text = doctor._starting_problem(program, ())
    assert text == "tritonserver ends with code 127: libx.so.1: cannot open shared object"
    assert "does not start" in doctor._starting_problem(tmp_path / "none", ())


def test_bundled_model_complete_and_incomplete(tmp_path: Path):
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "model.safetensors").write_bytes(b"x")
    assert "is incomplete: 3 of 3" in doctor.check_bundled_model(tmp_path).detail
    (tmp_path / "model_index.json").write_text("{}")
    assert doctor.check_bundled_model(tmp_path).state is State.OK


def test_a_folder_that_is_no_repository(tmp_path: Path):
    finding = doctor.check_repository(tmp_path / "none")
    assert finding.state is State.NOTE
    assert "lafi export" in finding.advice


def test_a_repository_and_its_variants(tmp_path: Path, small_model: ModelInfo):
    (tmp_path / "models" / "storyboard" / "1").mkdir(parents=True)
    (tmp_path / "models" / "storyboard" / "config.pbtxt").write_text("")
    assert "lafi.json: no such file" in doctor.check_repository(tmp_path).advice
    save_facts(tmp_path)
    assert doctor.check_repository(tmp_path).detail == f"{tmp_path}: storyboard; variants: none"
    for name in ("ink", "oil"):
        folder = variant_folder(tmp_path / "artifacts", name)
        folder.mkdir(parents=True)
        small_model.model_copy(update={"variant": name}).save(folder)
    finding = doctor.check_repository(tmp_path)
    assert (finding.state, finding.advice) == (State.OK, "")
    assert finding.detail.endswith("; variants: ink, oil")
    (folder / "lafi.json").unlink()
    finding = doctor.check_repository(tmp_path)
    assert finding.state is State.NOTE
    assert "oil/lafi.json: no such file" in finding.advice


def test_a_taken_port_says_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finding = doctor.check_port("grpc", port)
    assert (finding.state, finding.detail) == (State.NOTE, "taken")
    assert "--grpc-port 0" in finding.advice
    assert doctor.check_port("grpc", port).detail == "free"


def test_exit_code_is_one_only_if_drawing_is_impossible(monkeypatch: pytest.MonkeyPatch):
    note = Finding("machine", "GPU", State.NOTE, "none", "[not] needed")
    lack = Finding("packages", "serve", State.MISSING, "gone", "pip install 'lafi[serve]'")
    for findings, code, text in (
        ((note,), 0, "This machine can draw on its CPU."),
        ((note, lack), 1, "This machine cannot draw yet; missing: serve."),
    ):
        monkeypatch.setattr(doctor, "examine", lambda *args, found=findings: found)
        target = console()
        assert doctor.doctor_command(console=target) == code
        assert text in printed(target)
        assert "[not] needed" in printed(target)


def test_this_environment_can_draw():
    target = console()
    assert doctor.doctor_command(ports={}, console=target) == 0, printed(target)
    assert "Triton Server" in printed(target)
