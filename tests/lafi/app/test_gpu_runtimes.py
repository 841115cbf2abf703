"""What `lafi doctor` says of torch, Triton-lang, TensorRT and TensorRT-RTX."""

from lafi.app.doctor import State, check_gpu_runtimes
from lafi.app.gpu_runtimes import gpu_runtimes
from lafi.app.machine import Gpu

H200 = Gpu("NVIDIA H200", 143771, "580.65")
ALL = {
    "torch": "2.13.0+cu130",
    "triton": "3.9.0",
    "tensorrt-cu13": "11.4.0",
    "tensorrt-rtx-cu13-bindings": "1.7.1.116",
    "tensorrt-rtx-cu13-libs": "1.7.1.116",
}


def test_with_a_gpu_and_all_packages_every_runtime_is_usable() -> None:
    found = gpu_runtimes([H200], ALL.get)
    assert [(one.name, one.usable) for one in found] == [
        ("torch on CUDA", True),
        ("Triton-lang", True),
        ("TensorRT", True),
        ("TensorRT-RTX", True),
    ]
    assert all("NVIDIA H200" in one.detail for one in found)


def test_without_a_gpu_only_building_is_left() -> None:
    found = gpu_runtimes([], ALL.get)
    assert not any(one.usable for one in found)
    assert [one.name for one in found if one.builds] == ["TensorRT-RTX"]
    assert found[0].detail == "torch 2.13.0+cu130, but nvidia-smi lists no GPU"


def test_what_is_missing_is_named_with_what_to_do() -> None:
    details = {one.name: (one.detail, one.advice) for one in gpu_runtimes([H200], {}.get)}
    assert details["TensorRT"] == ("tensorrt-cu13 is not installed", "pip install 'lafi[gpu]'")
    assert details["TensorRT-RTX"][1] == "pip install 'lafi[rtx]'"
    assert details["torch on CUDA"][0] == "torch is not installed"
    cpu = gpu_runtimes([H200], {**ALL, "torch": "2.13.0+cpu"}.get)[0]
    assert cpu.detail == "torch 2.13.0+cpu is a build for the CPU"


def test_none_of_them_is_needed() -> None:
    states = {finding.state for finding in check_gpu_runtimes(gpu_runtimes([], {}.get))}
    assert states == {State.NOTE}
