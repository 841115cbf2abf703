"""CLIP text models as used in SD and SDXL, in torch; the export traces the same function.

Knows transformers' text models, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from lafi.engine.torch.device import bring, current, give_back
from lafi.ports.engines import EncodedText, encoded_text

CLASSES = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
"""Part of a checkpoint -> the class to load it with."""


def encode_tokens(models: Sequence[nn.Module], token_ids: Tensor) -> tuple[Tensor, ...]:
    """Encoded prompts in the models' dtype.

    One model (SD): token_ids (B, T) -> (hidden (B, T, D),), its last hidden state.
    Two models (SDXL, arXiv:2307.01952): token_ids (B, 2, T) -> (hidden (B, T, D1 + D2), the
    penultimate hidden states side by side, pooled (B, P), the second model's projection).
    """
    if len(models) == 1:
        return (models[0](token_ids, return_dict=False)[0],)
    first, second = models
    one = first(token_ids[:, 0], output_hidden_states=True)
    two = second(token_ids[:, 1], output_hidden_states=True)
    hidden = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
    return hidden, two.text_embeds


class TorchTextEncoder:
    """`lafi.ports.engines.TextEncoder` with one or two CLIP text models."""

    def __init__(self, *models: nn.Module, names: Sequence[str]) -> None:
        """models: all on one device. names: the ports that their outputs fill."""
        self._models: tuple[Any, ...] = models
        self._names = names

    @torch.no_grad()
    def __call__(self, token_ids: Tensor) -> EncodedText:
        """Token ids as in the protocol -> encoded text, float32, on the ids' device."""
        device = self._models[0].device
        with current(device):
            outputs = encode_tokens(self._models, bring(token_ids, device))
            given = [give_back(output, token_ids) for output in outputs]
            return encoded_text(given, self._names)


def load_text_encoder(folder: Path, dtype: torch.dtype, variant: str | None = None) -> nn.Module:
    """The text model of a part, loaded with the class for the part's name."""
    model: nn.Module = CLASSES[folder.name].from_pretrained(folder, dtype=dtype, variant=variant)
    return model.eval()
