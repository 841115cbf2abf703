"""Devices for torch modules: finds one by name, and moves tensors there and back.

Knows devices and tensors, not models. On the CPU nothing here copies or changes anything. The
code for GPUs was written without one at hand and has not run on one yet.
"""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from typing import Any, Literal, Protocol, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

Batch = TypeVar("Batch", DenoiserBatch, ReferenceBatch)
Module = TypeVar("Module", bound=nn.Module)
Import = Callable[[str], Any]
Running = Literal["eager", "graphs", "compile"]
"""How the UNet runs: kernel by kernel; on a GPU also as one CUDA graph for each shape of a batch,
or through `torch.compile`, whose first call of a shape takes minutes."""

_PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


class DeviceError(ValueError):
    """A device, precision or way of running is not available; the text says what is."""


class Cuda(Protocol):
    """The part of `torch.cuda` that is used here."""

    def is_available(self) -> bool: ...

    def device_count(self) -> int: ...


def torch_device(
    name: str, cuda: Cuda = torch.cuda, load: Import = importlib.import_module
) -> torch.device:
    """The `torch.device` of "cpu", "cuda" (the first GPU) or "cuda:<index>".

    For a GPU it also registers the fused kernel of `lafi::attention`. cuda, load: replaced by
    tests. Raises DeviceError for a device that does not exist or lacks Triton-lang.
    """
    if name == "cpu":
        return torch.device("cpu")
    count = cuda.device_count() if cuda.is_available() else 0
    there = [f"cuda:{index}" for index in range(count)]
    allowed = ", ".join(["cpu", *(["cuda"] if there else []), *there])
    if name not in there and not (name == "cuda" and there):
        why = "" if there else " (torch sees no NVIDIA GPU here)"
        raise DeviceError(f"device: got {name!r}, allowed {allowed}{why}")
    try:
        load("lafi_kernels.cuda")
    except ImportError as error:
        missing = f"allowed with Triton-lang alone, which is missing: {error}"
        raise DeviceError(f"device: got {name!r}, {missing}; pip install 'lafi[gpu]'") from error
    return torch.device("cuda:0" if name == "cuda" else name)


def check_running(running: str, device: torch.device) -> None:
    """Raises DeviceError for a way of running that the device does not support."""
    allowed = get_args(Running) if device.type == "cuda" else ("eager",)
    if running not in allowed:
        raise DeviceError(f"running: got {running!r}, allowed {', '.join(allowed)} on {device}")


def precision_name(dtype: torch.dtype) -> str:
    """`f32`, `bf16` or `f16`. Raises DeviceError for any other dtype."""
    if dtype not in _PRECISIONS:
        allowed = ", ".join(str(known) for known in _PRECISIONS)
        raise DeviceError(f"dtype: got {dtype}, allowed {allowed}")
    return _PRECISIONS[dtype]


def vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """The VAE's dtype beside a UNet in `dtype`; not fp16, in which SDXL's VAE overflows."""
    return torch.float32 if dtype == torch.float16 else dtype


def place(module: Module, device: torch.device) -> Module:
    """The module on its device, in evaluation mode; on a GPU in channels-last order."""
    module.eval()
    return module if device.type == "cpu" else channels_last(module.to(device))


def channels_last(module: Module) -> Module:
    """The same module with its convolution weights in the memory order that tensor cores use.

    A convolution's output has the order of its weights, so nothing else needs a conversion.
    """
    # torch's type hints of `to` lack this argument.
    converted: Module = cast(Any, module).to(memory_format=torch.channels_last)
    return converted


def current(device: torch.device) -> AbstractContextManager[Any]:
    """Makes a GPU the current one of this thread, as kernel launches require."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def bring(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on the device and in `dtype`; the same tensor if it is already there.

    The copy to a GPU comes from pinned memory, and the CPU does not wait for it.
    """
    there = pinned(tensor, device).to(device, non_blocking=True)
    return there if dtype is None else there.to(dtype)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor in pinned memory if it goes from the CPU to a GPU, else the same tensor."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory()
    return tensor


def give_back(result: Tensor, like: Tensor) -> Tensor:
    """float32 on the device of `like`. A copy from a GPU to the CPU waits for the GPU."""
    return result.float().to(like.device)


def bring_batch(batch: Batch, device: torch.device) -> Batch:
    """The same rows and bank on the device; on the CPU the batch itself.

    A bank that was computed on the device is not moved.
    """
    if device.type == "cpu":
        return batch
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: _brought(value, device) for name, value in values.items()})


def _brought(value: Tensor | Mapping[str, Tensor] | BankInputs | None, device: torch.device) -> Any:
    if isinstance(value, BankInputs):
        return BankInputs(
            keys=tuple(bring(keys, device) for keys in value.keys),
            values=tuple(bring(values, device) for values in value.values),
            mask=bring(value.mask, device),
        )
    if isinstance(value, Mapping):
        return {name: bring(tensor, device) for name, tensor in value.items()}
    return None if value is None else bring(value, device)
