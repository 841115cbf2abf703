"""A checkpoint's networks as modules whose inputs and outputs are what is exported.

Their weights are mapped from float32 files, not read, so a network of any size can be traced.
Knows diffusers' folder format and shapes, not ONNX.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from lafi.engine.torch.engines import torch_engines
from lafi.engine.torch.families.registry import torch_family_of
from lafi.engine.torch.text_stack import TorchTextStack
from lafi.engine.torch.vae import latent_shift
from lafi.model.bank_groups import bank_groups
from lafi.model.checkpoint import weight_files, weight_parts
from lafi.model.families.registry import family_of, text_stack_of
from lafi.model.info import ModelInfo
from lafi.ports.denoiser_tensors import batch_of_tensors
from lafi.ports.engines import Engines, ReferenceBatch
from lafi_export.part_weights import PartWeights, write_part
from lafi_export.picture_prompts.adapter import adapter_part, add_adapter


class TextEncoderModule(nn.Module):
    """`lafi.ports.text_tensors`, each (B, ...) -> the outputs of the model's text stack.

    The networks are attributes named as their parts, so that weights' names tell their file.
    """

    def __init__(self, stack: TorchTextStack, models: Mapping[str, nn.Module]) -> None:
        """models: by the name of their part."""
        super().__init__()
        self._stack = stack
        for part, model in models.items():
            self.add_module(part, model)

    def forward(self, token_ids: Tensor, clip_skip: Tensor | None = None) -> tuple[Tensor, ...]:
        skips = () if clip_skip is None else (clip_skip,)
        return self._stack.encode(list(self.children()), token_ids, *skips)


class VaeEncoderModule(nn.Module):
    """images (B, 3, H, W) in [-1, 1] -> latent (B, C, h, w): the mean, shifted and scaled."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.scale, self.shift = float(vae.config.scaling_factor), latent_shift(vae)

    def forward(self, images: Tensor) -> Tensor:
        mean: Tensor = self.vae.encode(images, return_dict=False)[0].mean
        return (mean - self.shift if self.shift else mean) * self.scale


class VaeDecoderModule(nn.Module):
    """latents (B, C, h, w) scaled -> image (B, 3, H, W) about [-1, 1]."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.scale, self.shift = float(vae.config.scaling_factor), latent_shift(vae)

    def forward(self, latents: Tensor) -> Tensor:
        mean = latents / self.scale
        if self.shift:
            mean = mean + self.shift
        image: Tensor = self.vae.decode(mean, return_dict=False)[0]
        return image


class DenoiserModule(nn.Module):
    """`lafi.ports.denoiser_tensors.denoiser_tensors` -> noise_pred (B, C, h, w)."""

    def __init__(self, module: nn.Module, info: ModelInfo) -> None:
        """module: a denoiser of info's family, prepared for injection."""
        super().__init__()
        self.family = torch_family_of(info)
        self.groups = bank_groups(info.layers)
        # By the name of its part, so that weights' names tell their file.
        self.add_module(self.family.part, module)

    @property
    def network(self) -> nn.Module:
        """The denoiser itself."""
        return self.get_submodule(self.family.part)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.family.predict(self.network, batch_of_tensors(inputs, self.groups))


class ReferenceModule(DenoiserModule):
    """The inputs of `lafi.ports.engines.ReferenceBatch` but its mask -> keys and values.

    Of each group of layers keys, then values, (n, B, S, width): a bank of B entries. What comes
    after the last layer's keys and values reaches no output, so exporters leave it out.
    """

    def forward(  # type: ignore[override]
        self, inputs: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        # The mask, which no network reads, is no output: any part of the inputs stands for it.
        batch = ReferenceBatch(inputs, mask=inputs["latents"][:, 0])
        bank = self.family.read(self.network, batch, self.groups)
        return tuple(tensor for pair in zip(bank.keys, bank.values, strict=True) for tensor in pair)


@dataclass(frozen=True, slots=True)
class ExportModules:
    """The networks of one checkpoint in fp32, in evaluation mode, and the files they map."""

    text_encoder: TextEncoderModule
    vae_encoder: VaeEncoderModule
    vae_decoder: VaeDecoderModule
    denoiser: DenoiserModule
    reference: ReferenceModule
    weights: tuple[PartWeights, ...]

    def engines(self, checkpoint: Path, info: ModelInfo) -> Engines:
        """These very modules as torch engines, to compare exported ones with."""
        texts = list(self.text_encoder.children())
        vae, network = self.vae_encoder.vae, self.denoiser.network
        return torch_engines(texts, vae, network, checkpoint, info)


def load_modules(
    checkpoint: Path,
    info: ModelInfo,
    weights: Path,
    written: Mapping[str, PartWeights] | None = None,
    adapter: Path | None = None,
) -> ExportModules:
    """The networks of a diffusers folder, whatever precision it is stored in.

    weights: a folder that gets a float32 file for each part; the modules map them. written: files
    that are there already, by part, of the very weights that the checkpoint has. adapter: of
    picture prompts, as safetensors.
    Raises CheckpointError for a part without weights, or with weights that do not fit its config.
    """
    parts = weight_parts(checkpoint, family_of(info))
    for part in parts:
        weight_files(checkpoint / part)
    modules: dict[str, nn.Module] = {}
    files = []
    for part in parts:
        module = meta_module(checkpoint / part, info)
        shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        there = (written or {}).get(part)
        files.append(there or write_part(checkpoint, part, shapes, weights))
        modules[part] = loaded(module, files[-1])
    family = torch_family_of(info)
    network, vae = modules[family.part], modules["vae"]
    if adapter is not None:
        there = (written or {}).get(adapter_part(family.part))
        files.append(add_adapter(network, family.part, adapter, weights, there))
    family.install(network, info)
    encoders = text_stack_of(info).encoders
    texts = {part: module for part, module in modules.items() if part in encoders}
    return ExportModules(
        text_encoder=TextEncoderModule(family.text, texts).eval(),
        vae_encoder=VaeEncoderModule(vae).eval(),
        vae_decoder=VaeDecoderModule(vae).eval(),
        denoiser=DenoiserModule(network, info).eval(),
        reference=ReferenceModule(network, info).eval(),
        weights=tuple(files),
    )


def meta_module(part: Path, info: ModelInfo) -> nn.Module:
    """The module of a part's folder, its weights on torch's meta device."""
    family = torch_family_of(info)
    if part.name in text_stack_of(info).encoders:
        return family.text.without_weights(part)
    kind = family.module_class if part.name == family.part else AutoencoderKL
    with torch.device("meta"):
        made: nn.Module = kind.from_config(kind.load_config(part))
        return made


def loaded(module: nn.Module, weights: PartWeights) -> nn.Module:
    """A module on torch's meta device with its weights, mapped from their file; for inference."""
    module.load_state_dict(weights.load(), assign=True)
    return _complete(module).eval().requires_grad_(False)


def _complete(module: nn.Module) -> nn.Module:
    """The module, with its weights loaded. Raises RuntimeError for what still has no values."""
    unknown = [name for name, value in module.named_buffers() if value.is_meta]
    if unknown:
        raise RuntimeError(f"buffers without values: got {', '.join(unknown)}, allowed none")
    return module
