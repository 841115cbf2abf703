"""T5 as PixArt's text encoder in torch; the export traces the same function.

Knows transformers' model, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from lafi.engine.torch.text_stacks.t5_encoder import load_t5, t5_without_weights
from lafi.model.text_stacks.t5_reader import T5_PADDING


class TorchPixArtTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of one T5 encoder."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        return load_t5(part, dtype, variant)

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        return t5_without_weights(part)

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`: ids (B, T) -> hidden states (B, T, D), and which count (B, T).

        What pads is read by no token. Source: `encode_prompt` of diffusers' PixArtAlphaPipeline.
        """
        (model,), (token_ids,) = models, inputs
        counting = (token_ids != T5_PADDING).to(token_ids.dtype)
        hidden: Tensor = model(token_ids, attention_mask=counting).last_hidden_state
        return hidden, counting.to(hidden.dtype)


TORCH_PIXART_TEXTS: Final = TorchPixArtTexts()
