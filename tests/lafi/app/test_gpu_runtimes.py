"""What `lafi doctor` says of torch, Triton-lang, TensorRT and TensorRT-RTX."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lafi.app.doctor import State, check_gpu_runtimes
from lafi.app.gpu_runtimes import NEEDED, RTX_CAPABILITIES, GpuRuntime, gpu_runtimes
from lafi.app.machine import Gpu

H200 = Gpu("NVIDIA H200", 143771, "580.65.06", "9.0")
L40S = Gpu("NVIDIA L40S", 46068, "580.65.06", "8.9")
T4 = Gpu("Tesla T4", 15360, "580.65.06", "7.5")
ALL = {
    "torch": "2.13.0+cu130",
    "triton": "3.9.0",
    "tensorrt-cu13": "11.4.0.106",
    "tensorrt-rtx-cu13-bindings": "1.7.1.116",
    "tensorrt-rtx-cu13-libs": "1.7.1.116",
}


def found(gpu: Gpu, **versions: str) -> dict[str, GpuRuntime]:
    packages = ALL | {name.replace("_", "-"): version for name, version in versions.items()}
    return {one.name: one for one in gpu_runtimes([gpu], packages.get)}


def usable(runtimes: dict[str, GpuRuntime]) -> list[str]:
    return [name for name, one in runtimes.items() if one.usable]


def test_on_a_card_that_all_take_every_runtime_is_usable() -> None:
    runtimes = found(L40S)
    assert usable(runtimes) == ["torch on CUDA", "Triton-lang", "TensorRT", "TensorRT-RTX"]
    assert all("NVIDIA L40S" in one.detail for one in runtimes.values())


def test_tensorrt_rtx_takes_no_h200_and_still_builds_for_others() -> None:
    runtimes = found(H200)
    assert usable(runtimes) == ["torch on CUDA", "Triton-lang", "TensorRT"]
    rtx = runtimes["TensorRT-RTX"]
    assert rtx.builds
    assert rtx.detail.endswith(
        "runs none: NVIDIA H200: compute capability 9.0, allowed 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"
    )


def test_an_old_card_takes_tensorrt_rtx_alone() -> None:
    runtimes = found(T4)
    assert usable(runtimes) == ["torch on CUDA", "TensorRT-RTX"]
    why = "Tesla T4: compute capability 7.5, allowed 8.0 or higher"
    assert runtimes["TensorRT"].detail.endswith(why)
    assert runtimes["Triton-lang"].detail.endswith(why)


@pytest.mark.parametrize(
    ("package", "version", "name", "why"),
    [
        ("tensorrt_cu13", "9.0", "TensorRT", "tensorrt-cu13 is 9.0, needed is"),
        ("tensorrt_cu13", "12.0.1", "TensorRT", "tensorrt-cu13 is 12.0.1, needed is"),
        ("tensorrt_rtx_cu13_libs", "0.1", "TensorRT-RTX", "tensorrt-rtx-cu13-libs is 0.1, needed"),
        ("tensorrt_rtx_cu13_bindings", "odd", "TensorRT-RTX", "bindings is odd, needed is =="),
        ("triton", "2.0", "Triton-lang", "triton is 2.0, needed is ==3.9.0"),
    ],
)
def test_other_versions_do_not_do(package: str, version: str, name: str, why: str) -> None:
    runtimes = found(L40S, **{package: version})
    assert name not in usable(runtimes)
    assert not runtimes[name].builds
    assert why in runtimes[name].detail
    assert runtimes[name].advice.startswith("pip install 'lafi[")


def test_the_versions_are_those_of_the_extras() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(line) for line in (*extras["gpu"], *extras["rtx"])]
    assert {one.name: one.specifier for one in asked if one.name != "torch"} == NEEDED


def test_an_old_driver_runs_nothing_of_cuda_13() -> None:
    old = Gpu(L40S.name, L40S.memory_mib, "470.82", L40S.capability)
    runtimes = found(old)
    assert usable(runtimes) == []
    for name in ("torch on CUDA", "TensorRT", "TensorRT-RTX"):
        assert "driver 470.82, CUDA 13 takes 580 or newer" in runtimes[name].detail
    assert runtimes["TensorRT-RTX"].builds
    # A build for CUDA 12 takes more of them.
    middle = Gpu(L40S.name, L40S.memory_mib, "550.54", L40S.capability)
    assert usable(found(middle, torch="2.13.0+cu129")) == ["torch on CUDA", "Triton-lang"]


def test_a_card_that_nobody_describes_is_not_called_usable() -> None:
    runtimes = found(Gpu("card", 0, "580.1", ""))
    assert usable(runtimes) == ["torch on CUDA"]
    assert "card: compute capability unknown" in runtimes["TensorRT"].detail
    assert "card: compute capability unknown" in runtimes["TensorRT-RTX"].detail


def test_without_torch_on_cuda_the_others_run_nothing() -> None:
    runtimes = found(L40S, torch="2.13.0+cpu")
    assert usable(runtimes) == []
    assert "needs torch on CUDA: torch 2.13.0+cpu is a build" in runtimes["TensorRT"].detail
    assert runtimes["TensorRT-RTX"].builds


def test_one_card_of_several_is_enough() -> None:
    rtx = gpu_runtimes([H200, L40S], ALL.get)[-1]
    assert (rtx.usable, rtx.detail) == (True, "tensorrt-rtx-cu13-libs 1.7.1.116 on NVIDIA L40S")


def test_without_a_gpu_only_building_is_left() -> None:
    runtimes = gpu_runtimes([], ALL.get)
    assert not any(one.usable for one in runtimes)
    assert [one.name for one in runtimes if one.builds] == ["TensorRT-RTX"]
    assert runtimes[0].detail == "torch 2.13.0+cu130, but nvidia-smi lists no GPU"


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


def test_the_cards_of_tensorrt_rtx() -> None:
    assert RTX_CAPABILITIES == ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
