"""Engines that run a diffusers checkpoint in torch, on the CPU or on an NVIDIA GPU.

Knows diffusers' modules and what they are told, not how tensors reach a device nor how graphs
are captured. On a GPU it was not run yet: no machine with one was at hand.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from lafi.engine.cuda.device import CudaDevice
from lafi.engine.cuda.graphs import Device
from lafi.engine.torch.attention import (
    Collected,
    InjectionInputs,
    install_processors,
    packed_by_group,
)
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
from lafi.engine.torch.graphs import ForwardEngine, GraphDenoiser
from lafi.engine.torch.text_encoder import TorchTextEncoder, load_text_encoder
from lafi.engine.torch.vae import TorchVaeDecoder, TorchVaeEncoder
from lafi.model.bank_groups import BankGroup, bank_groups
from lafi.model.checkpoint import (
    read_model_info,
    weight_parts,
    weights_variant,
)
from lafi.model.info import ModelInfo
from lafi.model.layers import self_attention_layers
from lafi.ports.bank_entry import BankEntry, BankInputs, split_bank
from lafi.ports.engines import Denoiser, DenoiserBatch, Engines, ReferenceBatch


class TorchDenoiser:
    """`Denoiser`: a UNet whose self-attention layers take routes as an argument."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        """unet: on the device where it is to run."""
        self._unet = install_processors(unet, self_attention_layers(unet))

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        device = self._unet.device
        with current(device):
            return give_back(self.predict(bring_batch(batch, device)), batch.latents)

    @torch.no_grad()
    def predict(self, batch: DenoiserBatch) -> Tensor:
        """Rows on the UNet's device -> the prediction, there and in the UNet's dtype.

        Reads no value of any tensor, so that a CUDA graph can hold it.
        """
        dtype = self._unet.dtype
        prediction: Tensor = self._unet(
            batch.latents.to(dtype),
            batch.timesteps,
            batch.text.to(dtype),
            **denoiser_conditions(batch, dtype),
        ).sample
        return prediction


class TorchReferenceReader:
    """`ReferenceReader`: one forward pass of the denoiser's own UNet, whose layers hand out."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        """unet: the one of a `TorchDenoiser`, whose processors it has."""
        self._unet = unet
        self._groups = bank_groups(self_attention_layers(unet))

    @torch.no_grad()
    def __call__(self, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        """Entries in the UNet's dtype, on its device, where the denoiser wants them."""
        device = self._unet.device
        with current(device):
            return split_bank(read_references(self._unet, bring_batch(batch, device), self._groups))


def torch_denoiser(
    unet: UNet2DConditionModel,
    running: Running = "eager",
    cuda_device: Callable[[torch.device], Device] = CudaDevice,
) -> Denoiser:
    """A UNet on its device as a denoiser. cuda_device: what captures graphs; tests replace it.

    Raises DeviceError for a way of running that the device does not have.
    """
    check_running(running, unet.device)
    denoiser = TorchDenoiser(unet)
    if running == "graphs":
        groups = bank_groups(self_attention_layers(unet))
        added = unet.config.addition_embed_type == "text_time"
        engine = ForwardEngine(denoiser.predict, groups, unet.dtype, added)
        return GraphDenoiser(engine, groups, cuda_device(unet.device), unet.device)
    if running == "compile":
        unet.compile()
    return denoiser


def denoiser_conditions(batch: DenoiserBatch, dtype: torch.dtype) -> dict[str, Any]:
    """What a diffusers UNet is told beside latents, timesteps and text, by argument."""
    bank = batch.bank
    if bank is not None:
        keys, values = (tuple(x.to(dtype) for x in part) for part in (bank.keys, bank.values))
        bank = BankInputs(keys, values, bank.mask)
    injection = InjectionInputs(
        batch.routes, batch.bias, batch.mask, batch.region, bank, batch.words
    )
    return {"cross_attention_kwargs": {"injection": injection}, **_added(batch, dtype)}


def read_references(
    unet: UNet2DConditionModel, batch: ReferenceBatch, groups: Sequence[BankGroup]
) -> BankInputs:
    """Keys and values of every self-attention layer, each row an entry, in the UNet's dtype.

    unet: with our processors, on the device of the rows.
    """
    dtype, collected = unet.dtype, Collected()
    unet(
        batch.latents.to(dtype),
        batch.timesteps,
        batch.text.to(dtype),
        cross_attention_kwargs={"injection": collected},
        return_dict=False,
        **_added(batch, dtype),
    )
    return packed_by_group(collected, groups, batch.mask)


def _added(batch: DenoiserBatch | ReferenceBatch, dtype: torch.dtype) -> dict[str, Any]:
    if batch.pooled is None:
        return {}
    added = {"text_embeds": batch.pooled.to(dtype), "time_ids": batch.time_ids}
    return {"added_cond_kwargs": added}


def load_torch_engines(
    checkpoint: Path,
    dtype: torch.dtype = torch.float32,
    *,
    device: str = "cpu",
    running: Running = "eager",
) -> Engines:
    """Engines of a diffusers folder.

    dtype: float32, bfloat16 or float16, of the weights; the VAE's are float32 beside float16.
    device: "cpu", "cuda" or "cuda:<index>"; a GPU takes the fused attention kernel and
    channels-last convolutions. running: how the UNet runs, see `Running`.
    Tensors that engines are given may lie anywhere; results come back to where they lie.
    Raises CheckpointError where the folder is not a complete pipeline and DeviceError for a
    device, dtype or way of running that cannot be had.
    """
    where = torch_device(device)
    check_running(running, where)
    precision = precision_name(dtype)
    folder = Path(checkpoint)
    info = read_model_info(folder, precision=precision)
    variants = {part: weights_variant(folder / part) for part in weight_parts(folder)}
    texts = [
        place(load_text_encoder(folder / part, dtype, variant), where)
        for part, variant in variants.items()
        if part.startswith("text_encoder")
    ]
    unet = UNet2DConditionModel.from_pretrained(
        folder / "unet", torch_dtype=dtype, variant=variants["unet"]
    )
    vae = AutoencoderKL.from_pretrained(
        folder / "vae", torch_dtype=vae_dtype(dtype), variant=variants["vae"]
    )
    return torch_engines(
        texts, place(vae, where), place(unet, where), folder, info, running=running
    )


def torch_engines(
    texts: Sequence[nn.Module],
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    folder: Path,
    info: ModelInfo,
    *,
    running: Running = "eager",
) -> Engines:
    """Engines of modules that are loaded, each on its device; folder: where the tokenizers lie."""
    names = ("tokenizer", "tokenizer_2")[: info.text_encoders]
    return Engines(
        text_encoder=TorchTextEncoder(*texts),
        vae_encoder=TorchVaeEncoder(vae),
        vae_decoder=TorchVaeDecoder(vae),
        denoiser=torch_denoiser(unet, running),
        tokenizers=tuple(CLIPTokenizer.from_pretrained(folder / name) for name in names),
        info=info,
        reference_reader=TorchReferenceReader(unet),
    )
