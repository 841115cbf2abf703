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
        return clip_without_weights(_CLASSES[part.name], part)

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        One model (SD): token_ids (B, T) -> (text (B, T, D),), the hidden state behind all layers
        but the last clip_skip ones, normed as the last is.
        Two models (SDXL, arXiv:2307.01952): token_ids (B, 2, T) -> (text (B, T, D1 + D2), the
        hidden states behind all layers but the last 1 + clip_skip ones side by side, pooled (B, P),
        the second model's projection of its last).
        Source: `encode_prompt` in diffusers' StableDiffusionPipeline and StableDiffusionXLPipeline.
        """
        token_ids, *skips = inputs
        clip_skip = skips[0] if skips else None
        if len(models) == 1:
            states = models[0](token_ids, output_hidden_states=True).hidden_states
            (chosen,) = _chosen([states], clip_skip)
            normed: Tensor = models[0].get_submodule("final_layer_norm")(chosen)
            return (normed,)
        first, second = models
        one = first(token_ids[:, 0], output_hidden_states=True)
        two = second(token_ids[:, 1], output_hidden_states=True)
        states = [each.hidden_states[:-1] for each in (one, two)]
        return torch.cat(_chosen(states, clip_skip), dim=-1), two.text_embeds


def clip_without_weights(kind: Any, part: Path) -> nn.Module:
    """`TorchTextStack.without_weights` of one CLIP text model, of the class `kind`."""
    config = CLIPTextConfig.from_pretrained(part)
    # The others hide what they do in one operator, which the exporter writes out less well.
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model: nn.Module = kind(config)
    for inner in model.modules():
        for name, buffer in inner.named_buffers(recurse=False):
            if name == "position_ids":
                positions = torch.arange(buffer.shape[1])[None]
                inner.register_buffer(name, positions, persistent=False)
    return model


def _chosen(states: Sequence[Sequence[Tensor]], clip_skip: Tensor | None) -> list[Tensor]:
    """Of each encoder (B, T, D): for each row the state that is clip_skip (B, 1) before the last.

    states: of each encoder, behind each of its layers. Those that are too early for another encoder
    are never chosen. Values pass as they are, so that a text's embeddings do not depend on the
    texts beside it.
    """
    if clip_skip is None:
        return [several[-1] for several in states]
    count = min(map(len, states))
    found = []
    for several in states:
        # In the layers' order, so that a runtime need not keep them all to the end.
        chosen, *later = several[-count:]
        for skipped, state in zip(range(count - 2, -1, -1), later, strict=True):
            chosen = torch.where(clip_skip[:, :, None] > skipped, chosen, state)
        found.append(chosen)
    return found


CLIP_TEXTS: Final = TorchClipTexts()
