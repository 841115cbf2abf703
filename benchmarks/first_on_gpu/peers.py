"""A diffusers UNet as its users run it: plain, or with a processor that concatenates a reference.

Takes the rows of `torch_engine`, so that both do the same work. The reference is the last row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from benchmarks.attention import joined
from lafi.engine.cuda.device import CudaDevice
from lafi.engine.torch.device import Running, bring_batch, current, give_back
from lafi.engine.torch.graphs import ForwardEngine, GraphDenoiser
from lafi.model.bank_groups import bank_groups
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.ports.engines import Denoiser, DenoiserBatch


class ConcatenatingProcessor:
    """Self-attention in which every row but the last also reads the last: `torch.cat` and SDPA."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """hidden_states (B, S, C) -> (B, S, C)."""
        projections = (attn.to_q, attn.to_k, attn.to_v)
        q, k, v = (project(hidden_states) for project in projections)
        out: Tensor = attn.to_out[1](attn.to_out[0](joined((q, k, v), attn.heads)))
        return out


class DiffusersDenoiser:
    """`Denoiser`: diffusers' own forward pass."""

    def __init__(self, unet: UNet2DConditionModel, info: ModelInfo, reading: Sequence[int]) -> None:
        """reading: the self-attention layers that concatenate; none for plain diffusers."""
        self._unet = unet
        names = {f"{info.layers[layer].name}.processor" for layer in reading}
        unet.set_attn_processor(
            {
                name: ConcatenatingProcessor() if name in names else AttnProcessor2_0()
                for name in unet.attn_processors
            }
        )

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        device = self._unet.device
        with current(device):
            return give_back(self.predict(bring_batch(batch, device)), batch["latents"])

    @torch.no_grad()
    def predict(self, batch: DenoiserBatch) -> Tensor:
        """Rows on the UNet's device -> the prediction there."""
        dtype = self._unet.dtype
        added: dict[str, Any] = {}
        if "pooled" in batch.ports:
            sizes = {"text_embeds": batch["pooled"].to(dtype), "time_ids": batch["time_ids"]}
            added["added_cond_kwargs"] = sizes
        latents, text = batch["latents"].to(dtype), batch["text"].to(dtype)
        outputs = self._unet(latents, batch["timesteps"], text, return_dict=False, **added)
        prediction: Tensor = outputs[0]
        return prediction


def diffusers_denoiser(
    unet: UNet2DConditionModel, info: ModelInfo, reading: Sequence[int], running: Running
) -> Denoiser:
    """running: `eager`, as its users run it, or `graphs`, captured as ours is."""
    denoiser = DiffusersDenoiser(unet, info, reading)
    if running != "graphs":
        return denoiser
    ports, groups = input_ports(info), bank_groups(info.layers)
    engine = ForwardEngine(denoiser.predict, ports, groups, unet.dtype)
    return GraphDenoiser(engine, ports, groups, CudaDevice(unet.device), unet.device)
