"""BERT and T5 as Hunyuan-DiT's text encoders in torch; the export traces the same function.

Knows transformers' models, not tokenizers or prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from lafi.engine.torch.text_stacks.t5_encoder import load_t5, t5_without_weights
from lafi.model.text_stacks.hunyuan import HUNYUAN_TEXTS
from lafi.model.text_stacks.hunyuan_reader import BERT_LENGTH, BERT_PADDING
from lafi.model.text_stacks.t5_reader import T5_PADDING

_BERT: Final = HUNYUAN_TEXTS.encoders[0]


class BertWithoutPooler(BertModel):
    """The same network without the layer behind it, which nothing reads."""

    _keys_to_ignore_on_load_unexpected: ClassVar = [r"^pooler\."]


class TorchHunyuanTexts:
    """`lafi.engine.torch.text_stack.TorchTextStack` of a BERT and a T5 encoder."""

    def load(self, part: Path, dtype: torch.dtype, variant: str | None) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name != _BERT:
            return load_t5(part, dtype, variant)
        model: nn.Module = BertWithoutPooler.from_pretrained(
            part, dtype=dtype, variant=variant, add_pooling_layer=False
        )
        return model

    def without_weights(self, part: Path) -> nn.Module:
        """As `TorchTextStack`."""
        if part.name != _BERT:
            return t5_without_weights(part)
        config = BertConfig.from_pretrained(part)
        # The others hide what they do in one operator, which the exporter writes out less well.
        config._attn_implementation = "eager"
        with torch.device("meta"):
            model = BertWithoutPooler(config, add_pooling_layer=False)
        count = config.max_position_embeddings
        values = {"position_ids": torch.arange(count)[None]}
        values["token_type_ids"] = torch.zeros_like(values["position_ids"])
        for name, value in values.items():
            model.embeddings.register_buffer(name, value, persistent=False)
        made: nn.Module = model
        return made

    def encode(self, models: Sequence[nn.Module], *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `TorchTextStack`.

        token_ids (B, 2, T): BERT's and T5's -> text (B, N, D), the hidden states of both behind
        each other, each padded with zeros to the wider one's channels, and which count (B, N).
        Source: `encode_prompt` of diffusers' HunyuanDiTPipeline.
        """
        (token_ids,) = inputs
        bert, bert_counts = _states(models[0], token_ids[:, 0, :BERT_LENGTH], BERT_PADDING)
        t5, t5_counts = _states(models[1], token_ids[:, 1], T5_PADDING)
        width = max(bert.shape[-1], t5.shape[-1])
        states = [F.pad(x, (0, width - x.shape[-1])) for x in (bert, t5)]
        counting = torch.cat([bert_counts, t5_counts], dim=1)
        return torch.cat(states, dim=1), counting.to(bert.dtype)


TORCH_HUNYUAN_TEXTS: Final = TorchHunyuanTexts()


def _states(model: nn.Module, ids: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """ids (B, T) -> hidden states (B, T, D), and 1 where a token counts (B, T)."""
    counting = (ids != padding).to(ids.dtype)
    hidden: Tensor = model(ids, attention_mask=counting).last_hidden_state
    return hidden, counting
