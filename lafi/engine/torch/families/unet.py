"""Diffusers' `UNet2DConditionModel` with routes as an argument of every call."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from lafi.engine.torch.attention import Collected, install_processors, packed_by_group
from lafi.engine.torch.text_stacks.clip import CLIP_TEXTS
from lafi.model.bank_groups import BankGroup
from lafi.model.control_info import FEATURE, MIDDLE, SKIP
from lafi.model.info import ModelInfo
from lafi.model.input_port import TEXT_MASK
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch


class TorchUNet:
    """`TorchFamily` of the UNets of SD1.5, SD2.1 and SDXL."""

    name: Final = "unet"
    part: Final = "unet"
    module_class: Final = UNet2DConditionModel
    text: Final = CLIP_TEXTS

    def install(self, module: Any, info: ModelInfo) -> None:
        """As `TorchFamily`."""
        install_processors(module, info.layers)

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        read = replace(batch, bank=_in_dtype(batch.bank, module.dtype))
        prediction: Tensor = _run(module, batch, read)[0]
        return prediction

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """Like `TorchFamily`; in the UNet's dtype."""
        collected = Collected()
        _run(module, batch, collected)
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchUNet()


def _run(
    module: Any, batch: DenoiserBatch | ReferenceBatch, injection: DenoiserBatch | Collected
) -> tuple[Tensor, ...]:
    """A forward pass; injection: what the self-attention layers read, or write to."""
    dtype, added = module.dtype, {}
    if "pooled" in batch.ports:
        pooled, time_ids = batch["pooled"].to(dtype), batch["time_ids"]
        added = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": time_ids}}
    outputs: tuple[Tensor, ...] = module(
        batch["latents"].to(dtype),
        batch["timesteps"],
        batch["text"].to(dtype),
        encoder_attention_mask=batch.ports.get(TEXT_MASK),
        cross_attention_kwargs={"injection": injection},
        return_dict=False,
        **added,
        **_residuals(batch, dtype),
        **_features(batch, dtype),
    )
    return outputs


def _residuals(batch: DenoiserBatch | ReferenceBatch, dtype: torch.dtype) -> dict[str, Any]:
    """What control networks add to the skip connections and the middle; empty where none does."""
    if MIDDLE not in batch.ports:
        return {}
    count = sum(name.startswith(SKIP) for name in batch.ports)
    return {
        "down_block_additional_residuals": [batch[f"{SKIP}{i}"].to(dtype) for i in range(count)],
        "mid_block_additional_residual": batch[MIDDLE].to(dtype),
    }


def _features(batch: DenoiserBatch | ReferenceBatch, dtype: torch.dtype) -> dict[str, Any]:
    """What control adapters add in the down blocks; empty where none does."""
    count = sum(name.startswith(FEATURE) for name in batch.ports)
    features = [batch[f"{FEATURE}{i}"].to(dtype) for i in range(count)]
    # A list of the call's own, since diffusers empties it.
    return {"down_intrablock_additional_residuals": features} if features else {}


def _in_dtype(bank: BankInputs | None, dtype: torch.dtype) -> BankInputs | None:
    if bank is None:
        return None
    keys, values = (tuple(x.to(dtype) for x in part) for part in (bank.keys, bank.values))
    return BankInputs(keys, values, bank.mask)
