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
        bert_ids, t5_ids = token_ids[:, 0, :BERT_LENGTH], token_ids[:, 1]
        bert_counts, t5_counts = (
            (ids != padding).to(ids.dtype)
            for ids, padding in ((bert_ids, BERT_PADDING), (t5_ids, T5_PADDING))
        )
        kinds = torch.zeros_like(bert_ids)
        bert = models[0](bert_ids, attention_mask=bert_counts, token_type_ids=kinds)[0]
        t5 = models[1](t5_ids, attention_mask=t5_counts)[0]
        width = max(bert.shape[-1], t5.shape[-1])
        states = [F.pad(x, (0, width - x.shape[-1])) for x in (bert, t5)]
        counting = torch.cat([bert_counts, t5_counts], dim=1)
        return torch.cat(states, dim=1), counting.to(bert.dtype)


TORCH_HUNYUAN_TEXTS: Final = TorchHunyuanTexts()
