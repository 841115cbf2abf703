"""Finds the GPU of this machine, or raises one clear error.

Knows torch's view of CUDA and the versions of TensorRT and TensorRT-RTX; loads no engine.
"""

import torch

from lafi.model.engine_metadata import GpuMachine
from lafi_kernels.tensorrt_module import Builder, TensorRTMissing, import_builder


class GpuMissing(RuntimeError):
    """This machine cannot build or run TensorRT engines; the text says what is missing."""


def check_gpu() -> None:
    """Raises GpuMissing without a GPU, whatever is to run on it."""
    if not torch.cuda.is_available():
        raise GpuMissing(
            "gpu: got none that torch can use, allowed: a machine with an NVIDIA GPU, its driver "
            "and a CUDA build of torch; without one, export for the CPU: leave out "
            "`--target tensorrt`"
        )


def gpu_machine(builder: Builder = "tensorrt") -> GpuMachine:
    """The current CUDA device, and the version of what runs plans on it. Raises GpuMissing."""
    check_gpu()
    try:
        tensorrt = import_builder(builder)
    except TensorRTMissing as error:
        raise GpuMissing(str(error)) from error
    major, minor = torch.cuda.get_device_capability()
    return GpuMachine(
        gpu=torch.cuda.get_device_name(),
        capability=f"{major}.{minor}",
        tensorrt=str(tensorrt.__version__),
        builder=builder,
    )
