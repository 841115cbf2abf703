"""Which runtimes of a GPU this machine can use, and why not the others.

Knows package versions and what nvidia-smi tells of GPUs and driver; imports none of the packages.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from lafi.app.export_options import Capability
from lafi.app.machine import Gpu

Installed = Callable[[str], str | None]
"""Name of a package -> its version, None if it is not installed."""

OLDEST_DRIVER: Final = {11: 450, 12: 525, 13: 580}
"""Of each CUDA major version, by NVIDIA's table of minor version compatibility."""
OLDEST_CAPABILITY: Final = (8, 0)
"""That the attention kernel is written for (`lafi_kernels.tiles`)."""
RTX_CAPABILITIES: Final = tuple(f"{name[2:-1]}.{name[-1]}" for name in Capability)
NEEDED: Final = {
    "tensorrt-cu13": SpecifierSet(">=11.4,<12"),
    "tensorrt-rtx-cu13-bindings": SpecifierSet("==1.7.1.116"),
    "tensorrt-rtx-cu13-libs": SpecifierSet("==1.7.1.116"),
    "triton": SpecifierSet("==3.9.0"),
}
"""Versions that our extras ask for."""
_CUDA_13: Final = 13
"""What the packages for TensorRT and TensorRT-RTX are built with."""


@dataclass(frozen=True, slots=True)
class GpuRuntime:
    """One of them. usable: here and now; builds: at least engines for GPUs elsewhere."""

    name: str
    usable: bool
    detail: str
    advice: str = ""
    builds: bool = False


def gpu_runtimes(gpus: Sequence[Gpu], installed: Installed) -> tuple[GpuRuntime, ...]:
    """torch on CUDA, the Triton-lang kernel, TensorRT and TensorRT-RTX, in this order."""
    torch = _torch(gpus, installed("torch"))
    return (
        torch,
        _of_extra_gpu("Triton-lang", "triton", None, gpus, installed, torch),
        _of_extra_gpu("TensorRT", "tensorrt-cu13", _CUDA_13, gpus, installed, torch),
        _rtx(gpus, installed, torch),
    )


def _torch(gpus: Sequence[Gpu], version: str | None) -> GpuRuntime:
    name = "torch on CUDA"
    if version is None:
        return GpuRuntime(name, False, "torch is not installed", "pip install 'lafi[gpu]'")
    if version.endswith("+cpu"):
        advice = "install a CUDA build of torch: its install page has the index"
        return GpuRuntime(name, False, f"torch {version} is a build for the CPU", advice)
    built_with = re.search(r"\+cu(\d+)\d$", version)
    cuda = int(built_with[1]) if built_with else None
    return _on_some_gpu(name, f"torch {version}", gpus, lambda gpu: _driver_fault(gpu, cuda))


def _of_extra_gpu(
    name: str,
    package: str,
    cuda: int | None,
    gpus: Sequence[Gpu],
    installed: Installed,
    torch: GpuRuntime,
) -> GpuRuntime:
    """What runs the fused kernel. cuda: major version that the package is built with."""
    if fault := _package_fault(package, installed):
        return GpuRuntime(name, False, fault, "pip install 'lafi[gpu]'")
    found = f"{package} {installed(package)}"

    def fault_of(gpu: Gpu) -> str:
        return _driver_fault(gpu, cuda) or _too_old(gpu)

    return _with_torch(_on_some_gpu(name, found, gpus, fault_of), torch)


def _rtx(gpus: Sequence[Gpu], installed: Installed, torch: GpuRuntime) -> GpuRuntime:
    """It builds engines wherever its packages are; its GPUs are not those of the others."""
    name = "TensorRT-RTX"
    for package in ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"):
        if fault := _package_fault(package, installed):
            return GpuRuntime(name, False, fault, "pip install 'lafi[rtx]'")
    found = f"tensorrt-rtx-cu13-libs {installed('tensorrt-rtx-cu13-libs')}"

    def fault_of(gpu: Gpu) -> str:
        return _driver_fault(gpu, _CUDA_13) or _not_among(gpu, RTX_CAPABILITIES)

    here = _with_torch(_on_some_gpu(name, found, gpus, fault_of), torch)
    if here.usable:
        return here
    builds = f"{found} builds engines here (lafi export --target tensorrt-rtx)"
    why = here.detail.removeprefix(f"{found}, but ")
    return GpuRuntime(name, False, f"{builds} and runs none: {why}", here.advice, builds=True)


def _package_fault(package: str, installed: Installed) -> str:
    """Why an installed package does not do, "" if it does."""
    version = installed(package)
    if version is None:
        return f"{package} is not installed"
    try:
        # A local part, as in 3.9.0+git, says nothing of what the package can do.
        fits = NEEDED[package].contains(Version(version).public, prereleases=True)
    except InvalidVersion:
        fits = False
    return "" if fits else f"{package} is {version}, needed is {NEEDED[package]}"


def _driver_fault(gpu: Gpu, cuda: int | None) -> str:
    """Why the driver does not do, "" if it does. cuda: None, where the package does not tell."""
    oldest = OLDEST_DRIVER.get(cuda or 0)
    major = gpu.driver.partition(".")[0]
    if oldest is None or (major.isdecimal() and int(major) >= oldest):
        return ""
    return f"driver {gpu.driver or 'unknown'}, CUDA {cuda} takes {oldest} or newer"


def _too_old(gpu: Gpu) -> str:
    """Why the kernel does not run there, "" if it does."""
    parts = gpu.capability.split(".")
    if all(part.isdecimal() for part in parts) and tuple(map(int, parts)) >= OLDEST_CAPABILITY:
        return ""
    oldest = ".".join(map(str, OLDEST_CAPABILITY))
    return f"compute capability {gpu.capability or 'unknown'}, allowed {oldest} or higher"


def _not_among(gpu: Gpu, allowed: Sequence[str]) -> str:
    """Why engines do not run there, "" if they do."""
    if gpu.capability in allowed:
        return ""
    return f"compute capability {gpu.capability or 'unknown'}, allowed {', '.join(allowed)}"


def _on_some_gpu(
    name: str, found: str, gpus: Sequence[Gpu], fault_of: Callable[[Gpu], str]
) -> GpuRuntime:
    """Usable if one GPU has no fault; else the faults of all."""
    if not gpus:
        return GpuRuntime(name, False, f"{found}, but nvidia-smi lists no GPU")
    faults = {gpu.name: fault_of(gpu) for gpu in gpus}
    for gpu, fault in faults.items():
        if not fault:
            return GpuRuntime(name, True, f"{found} on {gpu}")
    told = "; ".join(f"{gpu}: {fault}" for gpu, fault in faults.items())
    return GpuRuntime(name, False, f"{found}, but {told}")


def _with_torch(found: GpuRuntime, torch: GpuRuntime) -> GpuRuntime:
    """All of them get their memory and their stream from torch."""
    if not found.usable or torch.usable:
        return found
    return GpuRuntime(
        found.name, False, f"{found.detail}, but it needs torch on CUDA: {torch.detail}"
    )
