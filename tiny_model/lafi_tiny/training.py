"""What the training stages share: resumable state, moving averages, learning rates, grids."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lafi.app.machine import cpu_name_and_flags

Network = TypeVar("Network", bound=nn.Module)


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""A CPU with one of these multiplies bfloat16 faster than float32."""


@cache
def _cpu_has_bf16() -> bool:
    return not BF16_FLAGS.isdisjoint(cpu_name_and_flags()[1])


def mixed_precision(place: torch.device) -> torch.autocast:
    """Autocast to bfloat16 where that is fast, else nothing: float32.

    Without hardware for it torch computes bfloat16 by detours: a training step of the bundled UNet
    took 17.3 s of one core of a CPU with AVX2 alone, and 1.0 s in float32.
    """
    return torch.autocast(place.type, torch.bfloat16, enabled=bf16_is_fast(place))


def bf16_is_fast(place: torch.device) -> bool:
    """Whether bfloat16 is multiplied faster than float32 there."""
    return place.type != "cpu" or _cpu_has_bf16()


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Warm up, hold, then fall linearly to zero over the last quarter of `steps`.

    The plateau lets a resumed run move its end without retraining (arXiv:2405.18392).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * min(1.0, max(0.0, (steps - step) / (0.25 * steps)))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every parameter group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value


class MovingAverage(Generic[Network]):
    """Exponential moving average of a module's parameters, warmed up as (1 + n) / (10 + n)."""

    def __init__(self, module: Network, decay: float = 0.999) -> None:
        self.module: Network = deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's present parameters."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        averages, currents = zip(*((a, p.detach()) for a, p in pairs), strict=True)
        torch._foreach_lerp_(list(averages), list(currents), 1 - decay)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def resume_state(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, name: str = "model"
) -> int:
    """Load a checkpoint whose network is kept as `name`; its step, 0 if there is none."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state[name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save_half(network: nn.Module, path: Path) -> None:
    """Write the weights as float16 safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, path)


def load_half(network: Network, path: Path) -> Network:
    """Read into a network what `save_half` wrote; it computes in float32."""
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    network.load_state_dict(state)
    return network.eval()


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] -> RGB uint8 (B, H, W, 3)."""
    scaled = (images.float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def from_pixels(pixels: NDArray[np.uint8]) -> Tensor:
    """RGB uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def save_grid(pixels: NDArray[np.uint8], path: Path, columns: int = 8, zoom: int = 2) -> None:
    """Write pictures (B, H, W, 3) as one PNG, `columns` to a row."""
    count, height, width, _ = pixels.shape
    rows = -(-count // columns)
    gap = 2
    grid = Image.new("RGB", (columns * (zoom * width + gap), rows * (zoom * height + gap)))
    for index, picture in enumerate(pixels):
        tile = Image.fromarray(picture).resize((zoom * width, zoom * height), Image.Resampling.BOX)
        column, row = index % columns, index // columns
        grid.paste(tile, (column * (zoom * width + gap), row * (zoom * height + gap)))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(path)
