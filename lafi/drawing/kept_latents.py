"""Latents between two stages as bytes: a safetensors file that says whose they are.

Knows one tensor and an address, not what leads to either.
"""

import json
from typing import Final

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor

_NAME: Final = "latents"
_ADDRESS: Final = "address"


def packed(latents: Tensor, address: str) -> bytes:
    """(C, h, w) float32 and the address of the stages that lead to it."""
    return save({_NAME: latents.contiguous()}, {_ADDRESS: address})


def unpacked(data: bytes) -> tuple[Tensor, str]:
    """The latents (C, h, w) float32 and their address. Raises ValueError for anything else."""
    try:
        tensors = load(data)
        address = _address(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"no safetensors of latents ({error})") from error
    latents = tensors.get(_NAME)
    if set(tensors) != {_NAME} or latents is None or latents.dtype != torch.float32:
        raise ValueError(f"safetensors of {', '.join(sorted(tensors)) or 'nothing'}")
    if latents.ndim != 3 or not bool(torch.isfinite(latents).all()):
        raise ValueError(f"latents of shape {tuple(latents.shape)}, or not finite")
    return latents, address


def _address(data: bytes) -> str:
    """From the file's header: its length in 8 bytes, then JSON."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    address = header["__metadata__"][_ADDRESS]
    if not isinstance(address, str):
        raise ValueError("an address that is no text")
    return address
