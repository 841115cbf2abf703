"""T5's text encoder in torch, as several text stacks have it.

Knows transformers' model, not tokenizers or prompts.
"""

from pathlib import Path

import torch
from torch import nn
from transformers import T5Config, T5EncoderModel


def load_t5(part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
    """As `TorchTextStack.load`. In half precision its `wo` stay float32, as transformers has it."""
    model: nn.Module = T5EncoderModel.from_pretrained(part, dtype=dtype, variant=variant)
    return model


def t5_without_weights(part: Path) -> nn.Module:
    """As `TorchTextStack.without_weights`; it has no tensors but its weights."""
    config = T5Config.from_pretrained(part)
    # The others hide what they do in one operator, which the exporter writes out less well.
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model: nn.Module = T5EncoderModel(config)
    return model
