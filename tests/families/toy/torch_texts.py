"""What the toy text stack does with torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from lafi_toy.texts import PADDING
from torch import Tensor, nn


class ToyEmbedding(ModelMixin, ConfigMixin):
    """A vector for each word, whatever stands beside it."""

    @register_to_config
    def __init__(self, count: int = 8, width: int = 12, length: int = 5) -> None:
        super().__init__()
        self.table = nn.Embedding(count, width)


class TorchToyTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack`."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        return ToyEmbedding.from_pretrained(part, torch_dtype=dtype, variant=variant)

    def without_weights(self, part: Path) -> nn.Module:
        with torch.device("meta"):
            return ToyEmbedding.from_config(ToyEmbedding.load_config(part))

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        (model,), (token_ids,) = models, inputs
        text = model.table(token_ids)
        return text, (token_ids != PADDING).to(text.dtype)


TORCH_TOY_TEXTS: Final = TorchToyTexts()
