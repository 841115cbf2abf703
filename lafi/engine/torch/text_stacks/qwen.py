"""Qwen3 as a text encoder in torch; the export traces the same function.

Knows transformers' model, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding


class TorchQwenTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of one Qwen3 model, without its head."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        model: nn.Module = Qwen3Model.from_pretrained(part, dtype=dtype, variant=variant)
        return model

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        config = Qwen3Config.from_pretrained(part)
        # The others hide what they do in one operator, which the exporter writes out less well.
        config._attn_implementation = "eager"
        with torch.device("meta"):
            model: Any = Qwen3Model(config)
        model.rotary_emb = Qwen3RotaryEmbedding(config)
        kept: nn.Module = model
        return kept

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        token_ids (B, 2, T): ids, and 1 where a token counts -> text (B, T, D), the hidden states
        before the last layer, zeros where a token does not count, and text_mask (B, T).
        Source: `_encode_prompt` of diffusers' ZImagePipeline.
        """
        (model,), (token_ids,) = models, inputs
        read: Any = model
        ids, counting = token_ids[:, 0], token_ids[:, 1]
        hidden = read.embed_tokens(ids)
        places = torch.arange(ids.shape[1], device=ids.device)
        turned = read.rotary_emb(hidden, places[None])
        # Padding stands behind the text, so a causal mask alone keeps it out.
        later = (places[None] > places[:, None])[None, None]
        mask = torch.where(later, torch.finfo(hidden.dtype).min, 0.0).to(hidden.dtype)
        for layer in read.layers[:-1]:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=turned)
        counts = counting.to(hidden.dtype)
        return hidden * counts[..., None], counts


QWEN_TEXTS: Final = TorchQwenTexts()
