"""Engines that run a diffusers checkpoint in torch, on the CPU or on an NVIDIA GPU.

Knows diffusers' modules and their inputs, not how tensors reach a device or graphs are captured.
Not run on a GPU yet, because none was at hand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from lafi.engine.cuda.device import CudaDevice
from lafi.engine.cuda.graphs import Device
from lafi.engine.torch.control import load_control
from lafi.engine.torch.control_adapter import load_adapter
from lafi.engine.torch.control_fit import with_torch_controls
from lafi.engine.torch.device import (
    Running,
    bring_batch,
    check_running,
    current,
    give_back,
    place,
    precision_name,
    torch_device,
    vae_dtype,
)
from lafi.engine.torch.families.registry import torch_family_of
from lafi.engine.torch.family import load_denoiser
from lafi.engine.torch.graphs import ForwardEngine, GraphDenoiser
from lafi.engine.torch.picture_prompts import install_adapter, with_torch_pictures
from lafi.engine.torch.text_encoder import TorchTextEncoder
from lafi.engine.torch.vae import TorchVaeDecoder, TorchVaeEncoder
from lafi.model.bank_groups import bank_groups
from lafi.model.checkpoint import read_model_info, weight_parts, weights_variant
from lafi.model.families.registry import family_of, input_ports, text_names, text_stack_of
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import AdapterFiles
from lafi.ports.bank_entry import BankEntry, split_bank
from lafi.ports.engines import Denoiser, DenoiserBatch, Engines, ReferenceBatch


class TorchDenoiser:
    """`Denoiser`: a network whose self-attention layers take routes as an argument."""

    def __init__(self, module: Any, info: ModelInfo) -> None:
        """module: of the family in `info`, on the device that it runs on."""
        self._module = module
        self._family = torch_family_of(info)
        self._family.install(module, info)

    @property
    def network(self) -> nn.Module:
        """The module that it runs."""
        module: nn.Module = self._module
        return module

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        device = self._module.device
        with current(device):
            return give_back(self.predict(bring_batch(batch, device)), batch["latents"])

    @torch.no_grad()
    def predict(self, batch: DenoiserBatch) -> Tensor:
        """Rows on the module's device -> the prediction, there and in the module's dtype.

        Reads no values of tensors, so that it can be captured in a CUDA graph.
        """
        return self._family.predict(self._module, batch)


class TorchReferenceReader:
    """`ReferenceReader`: a forward pass of the denoiser's module that returns keys and values."""

    def __init__(self, module: Any, info: ModelInfo) -> None:
        """module: as prepared by a `TorchDenoiser`."""
        self._module = module
        self._family = torch_family_of(info)
        self._groups = bank_groups(info.layers)

    @torch.no_grad()
    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        """Entries in the module's dtype and on its device, where the denoiser needs them."""
        device = self._module.device
        with current(device):
            rows = bring_batch(batch, device)
            return split_bank(self._family.read(self._module, rows, self._groups))


def torch_denoiser(
    module: Any,
    info: ModelInfo,
    running: Running = "eager",
    cuda_device: Callable[[torch.device], Device] = CudaDevice,
) -> Denoiser:
    """A module on its device as a denoiser. cuda_device: captures graphs; tests replace it.

    Raises DeviceError for a way of running that the device does not support.
    """
    check_running(running, module.device)
    denoiser = TorchDenoiser(module, info)
    if running == "graphs":
        ports, groups = input_ports(info), bank_groups(info.layers)
        engine = ForwardEngine(denoiser.predict, ports, groups, module.dtype)
        return GraphDenoiser(engine, ports, groups, cuda_device(module.device), module.device)
    if running == "compile":
        module.compile()
    return denoiser


def load_torch_engines(
    checkpoint: Path,
    dtype: torch.dtype = torch.float32,
    *,
    device: str = "cpu",
    running: Running = "eager",
    controls: Mapping[str, Path] | None = None,
    picture_prompts: AdapterFiles | None = None,
) -> Engines:
    """Engines of a diffusers folder.

    dtype: float32, bfloat16 or float16, of the weights; the VAE's are float32 beside float16.
    device: "cpu", "cuda" or "cuda:<index>"; a GPU uses the fused attention kernel and
    channels-last convolutions. running: how the UNet runs, see `Running`.
    controls: folders of control networks and adapters, by the name that storyboards call them.
    picture_prompts: an adapter, which is a safetensors file, and its image encoder.
    Inputs may lie on any device; results are returned on the device of the inputs.
    Raises CheckpointError if the folder is not a complete pipeline, and DeviceError for a
    device, dtype or way of running that is not available.
    """
    where = torch_device(device)
    check_running(running, where)
    precision = precision_name(dtype)
    folder = Path(checkpoint)
    info = read_model_info(folder, precision=precision)
    info = with_torch_controls(info, folder, controls or {})
    info = with_torch_pictures(info, folder, picture_prompts)
    parts = weight_parts(folder, family_of(info))
    variants = {part: weights_variant(folder / part) for part in parts}
    family = torch_family_of(info)
    texts = [
        place(family.text.load(folder / part, dtype, variants[part]), where)
        for part in text_stack_of(info).encoders
        if part in variants
    ]
    module = load_denoiser(family, folder, dtype, variants[family.part])
    seen = picture_prompts and install_adapter(module, picture_prompts, dtype, where)
    vae = AutoencoderKL.from_pretrained(
        folder / "vae", torch_dtype=vae_dtype(dtype), variant=variants["vae"]
    )
    engines = torch_engines(
        texts, place(vae, where), place(module, where), folder, info, running=running
    )
    given = controls or {}
    adapters = [control.name for control in info.controls if control.features]
    return replace(
        engines,
        controls={
            name: load_control(folder, dtype, where)
            for name, folder in given.items()
            if name not in adapters
        },
        control_adapters={name: load_adapter(given[name], dtype, where) for name in adapters},
        picture_encoder=seen,
    )


def torch_engines(
    texts: Sequence[nn.Module],
    vae: AutoencoderKL,
    module: nn.Module,
    folder: Path,
    info: ModelInfo,
    *,
    running: Running = "eager",
) -> Engines:
    """Engines of loaded modules, each on its device. folder: holds the tokenizers."""
    stack = torch_family_of(info).text
    return Engines(
        text_encoder=TorchTextEncoder(stack, texts, text_names(info), info.most_clip_skip),
        vae_encoder=TorchVaeEncoder(vae),
        vae_decoder=TorchVaeDecoder(vae),
        denoiser=torch_denoiser(module, info, running),
        prompts=text_stack_of(info).reader(folder, info),
        info=info,
        reference_reader=TorchReferenceReader(module, info),
    )
