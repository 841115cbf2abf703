"""A step of a UNet at its published size, 8 panels with guidance: ours, and diffusers beside it.

Needs diffusers and pydantic, since our engine runs diffusers' modules; what is measured is what
`python -m benchmarks.torch_engine` measures. On a GPU steps are CUDA graphs where a row says so.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.first_on_gpu.counted import step_cases, work_of
from benchmarks.first_on_gpu.peers import diffusers_denoiser
from benchmarks.first_on_gpu.plan import Row, Setting
from benchmarks.torch_engine import (
    VAE_SCALE,
    Case,
    make_batch,
    measure,
    random_unet,
    read_reference,
)
from benchmarks.unet_info import unet_info
from lafi.engine.torch.device import Running, torch_device
from lafi.engine.torch.engines import torch_denoiser
from lafi.model.architectures.architecture import Size
from lafi.model.architectures.parts import TEXT_LENGTH
from lafi.model.architectures.registry import ArchitectureName
from lafi.model.families.unet import UNET
from lafi.ports.engines import Denoiser, DenoiserBatch


@dataclass(frozen=True)
class Model:
    """A UNet with random weights, made when the first row asks for it; bf16 on a GPU."""

    name: ArchitectureName
    setting: Setting

    @property
    def size(self) -> Size:
        return "full" if self.setting.size == "full" else "small"

    @cached_property
    def unet(self) -> Any:
        device = torch_device(self.setting.device)
        # Processors without units for bf16 take a minute for what they do in a second in fp32.
        dtype = torch.bfloat16 if self.setting.on_gpu else torch.float32
        return random_unet(self.name, self.size, device, dtype)

    @cached_property
    def info(self) -> Any:
        return unet_info(self.unet, VAE_SCALE, TEXT_LENGTH)

    def ours(self, case: Case, running: Running) -> Denoiser:
        """Our engine; it puts its processors into the UNet."""
        return torch_denoiser(self.unet, self.info, running)

    def diffusers(self, case: Case, running: Running) -> Denoiser:
        """Diffusers' own processors, which concatenate where the case's preset reads."""
        reading = UNET.presets(self.info.layers)[case.preset]
        return diffusers_denoiser(self.unet, self.info, reading, running)

    def batch(self, case: Case) -> DenoiserBatch:
        """Needs our processors in the UNet where the reference is known."""
        bank = read_reference(case, self.unet, self.info) if case.known else None
        return make_batch(case, self.unet, self.info.layers, bank)


def sdxl(setting: Setting) -> Sequence[Row]:
    """SDXL at 1024 px."""
    return _rows("sdxl", setting)


def sd15(setting: Setting) -> Sequence[Row]:
    """SD1.5 at 512 px."""
    return _rows("sd15", setting)


def _rows(name: ArchitectureName, setting: Setting) -> Sequence[Row]:
    """Ours first, then diffusers: captured as ours is, and eager as its users run it."""
    model = Model(name, setting)
    plain, published, known = step_cases(name, model.size)

    @cache
    def expected(case: Case) -> Tensor:
        denoiser = model.ours(case, "eager")
        return denoiser(model.batch(case))

    def answer(make: Callable[[Case, Running], Denoiser], case: Case, running: Running) -> Any:
        if running == "graphs" and not setting.on_gpu:
            running = "eager"
        wanted = expected(case)
        batch = model.batch(case)
        denoiser = make(case, running)
        work = work_of(case, model.size)
        found = measure(case, work, denoiser, batch, running, setting.repeats, setting.warm_up)
        difference = (denoiser(batch) - wanted).abs().max() / wanted.abs().max()
        del denoiser, batch
        _free(setting)
        dtype = str(model.unet.dtype).removeprefix("torch.")
        return {**asdict(found), "dtype": dtype, "difference_from_ours_eager": float(difference)}

    asked: Mapping[str, tuple[Callable[[Case, Running], Denoiser], Case, Running]] = {
        "ours, plain, graphs": (model.ours, plain, "graphs"),
        "ours, as published, graphs": (model.ours, published, "graphs"),
        "ours, known character, graphs": (model.ours, known, "graphs"),
        "diffusers, plain, graphs": (model.diffusers, plain, "graphs"),
        "diffusers, concatenating, graphs": (model.diffusers, published, "graphs"),
        "diffusers, plain, eager": (model.diffusers, plain, "eager"),
        "diffusers, concatenating, eager": (model.diffusers, published, "eager"),
        "ours, plain, eager": (model.ours, plain, "eager"),
    }
    if not setting.on_gpu:
        # Captured and eager are one on a CPU: the second would say nothing.
        asked = {name: row for name, row in asked.items() if row[2] == "graphs"}
    return [Row(label, partial(answer, *row)) for label, row in asked.items()]


def _free(setting: Setting) -> None:
    """Gives a graph's memory back before the next row."""
    gc.collect()
    if setting.on_gpu:
        torch.cuda.empty_cache()
