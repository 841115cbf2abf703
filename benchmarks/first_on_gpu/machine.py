"""Versions, and what the device can do at most: a large product and a copy."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks.attention_count import BYTES_PER_S, FLOPS_PER_S
from benchmarks.first_on_gpu.plan import Row, Setting

PACKAGES = ("torch", "triton", "diffusers", "transformers", "pydantic", "numpy")


def rows(setting: Setting) -> Sequence[Row]:
    """Versions first; then bf16 products on random numbers, and a copy of a large tensor."""
    device = torch.device(setting.device)
    full = setting.size == "full"
    return [
        Row("versions", lambda: versions(device)),
        Row("product", lambda: product(device, 8192 if full else 128, setting)),
        Row("copy", lambda: copy(device, 2**31 if full else 2**16, setting)),
    ]


def versions(device: torch.device) -> Mapping[str, Any]:
    """Of the machine and of what is installed; None for a package that is not there."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    if device.type == "cuda":
        known = torch.cuda.get_device_properties(device)
        found |= {
            "gpu": known.name,
            "capability": f"{known.major}.{known.minor}",
            "multiprocessors": known.multi_processor_count,
            "gibibytes": known.total_memory / 2**30,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def product(device: torch.device, side: int, setting: Setting) -> Mapping[str, float]:
    """side x side x side in bf16. share: of the rate that the roofline is drawn with."""
    gen = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn(side, side, generator=gen, device=device).bfloat16() for _ in range(2))
    seconds = seconds_of(lambda: a @ b, device, setting)
    rate = 2 * side**3 / seconds
    return {"tflops_per_s": rate / 1e12, "share": rate / FLOPS_PER_S}


def copy(device: torch.device, size: int, setting: Setting) -> Mapping[str, float]:
    """size: bytes. Read and written bytes count."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rate = 2 * size / seconds_of(lambda: target.copy_(source), device, setting)
    return {"terabytes_per_s": rate / 1e12, "share": rate / BYTES_PER_S}


def seconds_of(work: Callable[[], Any], device: torch.device, setting: Setting) -> float:
    """The median of the setting's repeats."""
    taken = []
    for _ in range(setting.warm_up + setting.repeats):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[setting.warm_up :])
