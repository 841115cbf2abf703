"""Diffusers' `UNet2DConditionModel` with routes as an argument of every call."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from lafi.engine.torch.attention import (
    Collected,
    InjectionInputs,
    install_processors,
    packed_by_group,
)
from lafi.model.bank_groups import BankGroup
from lafi.model.info import AttentionSite
from lafi.ports.bank_entry import BankInputs
from lafi.ports.engines import DenoiserBatch, ReferenceBatch


class TorchUNet:
    """`TorchFamily` of the UNets of SD1.5, SD2.1 and SDXL."""

    name: Final = "unet"
    part: Final = "unet"
    module_class: Final = UNet2DConditionModel

    def install(self, module: Any, layers: Sequence[AttentionSite]) -> None:
        """As `TorchFamily`."""
        install_processors(module, layers)

    def predict(self, module: Any, batch: DenoiserBatch) -> Tensor:
        """As `TorchFamily`."""
        dtype = module.dtype
        injection = InjectionInputs(
            batch.routes,
            batch.bias,
            batch.mask,
            batch.region,
            _in_dtype(batch.bank, dtype),
            batch.ports.get("words"),
        )
        prediction: Tensor = module(
            batch.latents.to(dtype),
            batch.timesteps,
            batch.text.to(dtype),
            cross_attention_kwargs={"injection": injection},
            return_dict=False,
            **_added(batch, dtype),
        )[0]
        return prediction

    def read(self, module: Any, batch: ReferenceBatch, groups: Sequence[BankGroup]) -> BankInputs:
        """Like `TorchFamily`; in the UNet's dtype."""
        dtype, collected = module.dtype, Collected()
        module(
            batch.latents.to(dtype),
            batch.timesteps,
            batch.text.to(dtype),
            cross_attention_kwargs={"injection": collected},
            return_dict=False,
            **_added(batch, dtype),
        )
        return packed_by_group(collected, groups, batch.mask)


FAMILY: Final = TorchUNet()


def _in_dtype(bank: BankInputs | None, dtype: torch.dtype) -> BankInputs | None:
    if bank is None:
        return None
    keys, values = (tuple(x.to(dtype) for x in part) for part in (bank.keys, bank.values))
    return BankInputs(keys, values, bank.mask)


def _added(batch: DenoiserBatch | ReferenceBatch, dtype: torch.dtype) -> dict[str, Any]:
    if "pooled" not in batch.ports:
        return {}
    added = {"text_embeds": batch.ports["pooled"].to(dtype), "time_ids": batch.ports["time_ids"]}
    return {"added_cond_kwargs": added}
