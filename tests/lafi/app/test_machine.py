"""What is read from Linux's files, on trees made up here."""

import subprocess
from pathlib import Path

import pytest

from lafi.app import machine


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_cgroup_limit_leaves_what_is_not_used(tmp_path: Path):
    write(tmp_path, "proc/meminfo", "MemTotal: 9000000 kB\nMemAvailable: 4000000 kB\n")
    assert machine.available_memory(tmp_path) == 4000000 * 1024
    write(tmp_path, "sys/fs/cgroup/memory.max", "1000")
    write(tmp_path, "sys/fs/cgroup/memory.current", "400")
    assert machine.available_memory(tmp_path) == 600


def test_memory_is_unknown_where_linux_does_not_say(tmp_path: Path):
    assert machine.available_memory(tmp_path) is None


def test_cpu_name_and_flags(tmp_path: Path):
    write(
        tmp_path, "proc/cpuinfo", "model name\t: A CPU\nflags\t\t: avx2 avx512_bf16\n\nflags: x\n"
    )
    assert machine.cpu_name_and_flags(tmp_path) == ("A CPU", frozenset({"avx2", "avx512_bf16"}))


def test_shared_memory_that_is_not_there(tmp_path: Path):
    assert machine.shared_memory(tmp_path / "shm") is None
    total, free = machine.shared_memory(tmp_path) or (0, 0)
    assert 0 < free <= total


def test_gpus_come_from_nvidia_smi(monkeypatch: pytest.MonkeyPatch):
    answer = subprocess.CompletedProcess([], 0, "NVIDIA H200, 143771, 570.1, 9.0\nodd line\n", "")
    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    monkeypatch.setattr(machine.subprocess, "run", lambda *args, **kwargs: answer)
    assert machine.gpus() == (machine.Gpu("NVIDIA H200", 143771, "570.1", "9.0"),)


def test_an_old_driver_does_not_tell_the_compute_capability(monkeypatch: pytest.MonkeyPatch):
    def run(query: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if "compute_cap" in query[1]:
            raise subprocess.CalledProcessError(2, "nvidia-smi")
        return subprocess.CompletedProcess([], 0, "Tesla V100, 16160, 470.82\n", "")

    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    monkeypatch.setattr(machine.subprocess, "run", run)
    assert machine.gpus() == (machine.Gpu("Tesla V100", 16160, "470.82", ""),)


def test_a_failing_nvidia_smi_means_no_gpu(monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    monkeypatch.setattr(machine.subprocess, "run", fail)
    assert machine.gpus() == ()
