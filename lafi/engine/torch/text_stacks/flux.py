"""FLUX's text encoders in torch; the export traces the same function.

Knows transformers' models, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel

from lafi.engine.torch.text_stacks.clip import clip_without_weights
from lafi.engine.torch.text_stacks.t5_encoder import load_t5, t5_without_weights
from lafi.model.text_stacks.clip_beside_t5 import CLIP_LENGTH
from lafi.model.text_stacks.flux import FLUX_TEXTS

_T5: Final = FLUX_TEXTS.encoders[-1]


class TorchFluxTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of CLIP and T5."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name == _T5:
            return load_t5(part, dtype, variant)
        kind: Any = CLIPTextModel
        model: nn.Module = kind.from_pretrained(part, dtype=dtype, variant=variant)
        return model

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name == _T5:
            return t5_without_weights(part)
        return clip_without_weights(CLIPTextModel, part)

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        token_ids (B, 2, T) -> text (B, T, D), T5's output, and pooled (B, P), CLIP's.
        Source: `encode_prompt` of diffusers' FluxPipeline.
        """
        clip, t5 = models
        (token_ids,) = inputs
        text: Tensor = t5(token_ids[:, 1])[0]
        pooled: Tensor = clip(token_ids[:, 0, :CLIP_LENGTH]).pooler_output
        return text, pooled


FLUX_TORCH_TEXTS: Final = TorchFluxTexts()
