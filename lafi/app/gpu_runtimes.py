"""Which runtimes of a GPU this machine can use, and why not the others.

Knows package versions and what nvidia-smi lists; imports none of the packages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lafi.app.machine import Gpu

Installed = Callable[[str], str | None]
"""Name of a package -> its version, None if it is not installed."""


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
    return (
        _torch(gpus, installed("torch")),
        _package("Triton-lang", "triton", "gpu", gpus, installed),
        _package("TensorRT", "tensorrt-cu13", "gpu", gpus, installed),
        _rtx(gpus, installed),
    )


def _torch(gpus: Sequence[Gpu], version: str | None) -> GpuRuntime:
    name = "torch on CUDA"
    if version is None:
        return GpuRuntime(name, False, "torch is not installed", "pip install 'lafi[gpu]'")
    if version.endswith("+cpu"):
        advice = "install a CUDA build of torch: its install page has the index"
        return GpuRuntime(name, False, f"torch {version} is a build for the CPU", advice)
    return _with_gpu(name, f"torch {version}", gpus)


def _package(
    name: str, package: str, extra: str, gpus: Sequence[Gpu], installed: Installed
) -> GpuRuntime:
    version = installed(package)
    if version is None:
        return GpuRuntime(
            name, False, f"{package} is not installed", f"pip install 'lafi[{extra}]'"
        )
    return _with_gpu(name, f"{package} {version}", gpus)


def _rtx(gpus: Sequence[Gpu], installed: Installed) -> GpuRuntime:
    name = "TensorRT-RTX"
    for package in ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"):
        if installed(package) is None:
            return GpuRuntime(name, False, f"{package} is not installed", "pip install 'lafi[rtx]'")
    found = f"tensorrt-rtx-cu13-libs {installed('tensorrt-rtx-cu13-libs')}"
    if gpus:
        return _with_gpu(name, found, gpus)
    detail = f"{found} builds engines here (lafi export --target tensorrt-rtx); no GPU to run them"
    return GpuRuntime(name, False, detail, builds=True)


def _with_gpu(name: str, found: str, gpus: Sequence[Gpu]) -> GpuRuntime:
    if not gpus:
        return GpuRuntime(name, False, f"{found}, but nvidia-smi lists no GPU")
    return GpuRuntime(name, True, f"{found} on {gpus[0].name}")
