"""SD3's text encoders in torch; the export traces the same function.

Knows transformers' models, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

from lafi.engine.torch.text_stacks.clip import clip_without_weights
from lafi.engine.torch.text_stacks.t5_encoder import load_t5, t5_without_weights
from lafi.model.text_stacks.clip_beside_t5 import CLIP_LENGTH
from lafi.model.text_stacks.sd3 import T5


class TorchSd3Texts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of two CLIPs and T5."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name == T5:
            return load_t5(part, dtype, variant)
        kind: Any = CLIPTextModelWithProjection
        model: nn.Module = kind.from_pretrained(part, dtype=dtype, variant=variant)
        return model

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name == T5:
            return t5_without_weights(part)
        return clip_without_weights(CLIPTextModelWithProjection, part)

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        token_ids (B, 3, T) -> text (B, CLIP_LENGTH + T, D), the hidden states of both CLIPs before
        their last layer and T5's output, and pooled (B, P).
        Without T5 (B, 2, CLIP_LENGTH) -> text (B, CLIP_LENGTH, D) of both CLIPs' own widths.
        Source: `encode_prompt` of diffusers' StableDiffusion3Pipeline.
        """
        clips, t5 = models[:2], models[2:]
        (token_ids,) = inputs
        read = [
            clip(token_ids[:, place, :CLIP_LENGTH], output_hidden_states=True)
            for place, clip in enumerate(clips)
        ]
        states = torch.cat([each.hidden_states[-2] for each in read], dim=-1)
        pooled = torch.cat([each.text_embeds for each in read], dim=-1)
        if not t5:
            return states, pooled
        whole: Tensor = t5[0](token_ids[:, -1])[0]
        states = F.pad(states, (0, whole.shape[-1] - states.shape[-1]))
        return torch.cat([states, whole], dim=1), pooled


SD3_TORCH_TEXTS: Final = TorchSd3Texts()
