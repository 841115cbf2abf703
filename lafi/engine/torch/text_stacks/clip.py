"""CLIP text models as in SD and SDXL, in torch; the export traces the same function.

Knows transformers' text models, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lafi.model.text_stacks.clip import CLIP

_CLASSES: Final[dict[str, Any]] = dict(
    zip(CLIP.encoders, (CLIPTextModel, CLIPTextModelWithProjection), strict=True)
)


class TorchClipTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of one or two CLIP text models."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        model: nn.Module = _CLASSES[part.name].from_pretrained(part, dtype=dtype, variant=variant)
        return model

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        config = CLIPTextConfig.from_pretrained(part)
        # The others hide what they do in one operator, which the exporter writes out less well.
        config._attn_implementation = "eager"
        with torch.device("meta"):
            model: nn.Module = _CLASSES[part.name](config)
        for inner in model.modules():
            for name, buffer in inner.named_buffers(recurse=False):
                if name == "position_ids":
                    positions = torch.arange(buffer.shape[1])[None]
                    inner.register_buffer(name, positions, persistent=False)
        return model

    def encode(self, models: Sequence[nn.Module], token_ids: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        One model (SD): token_ids (B, T) -> (text (B, T, D),), its last hidden state.
        Two models (SDXL, arXiv:2307.01952): token_ids (B, 2, T) -> (text (B, T, D1 + D2), the
        penultimate hidden states side by side, pooled (B, P), the second model's projection).
        """
        if len(models) == 1:
            return (models[0](token_ids, return_dict=False)[0],)
        first, second = models
        one = first(token_ids[:, 0], output_hidden_states=True)
        two = second(token_ids[:, 1], output_hidden_states=True)
        hidden = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
        return hidden, two.text_embeds


CLIP_TEXTS: Final = TorchClipTexts()
