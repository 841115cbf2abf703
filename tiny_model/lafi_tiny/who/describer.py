"""The recogniser's text tower: what a character is said to look like, as an embedding.

It lands where the recogniser puts a picture of such a character, so that a cosine compares the
two. What the words leave out adds nothing to it.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from lafi_tiny.stages.blueprint import TEXT_LENGTH
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.training import load_half
from lafi_tiny.who.recogniser import EMBEDDING_WIDTH

WIDTH, LAYERS, HEADS = 64, 2, 4


class Describer(nn.Module):
    """Token ids (B, 77) int64 -> embeddings (B, 128) float32 of unit length.

    CLIP's text tower (arXiv:2103.00020) in small, transformers' own class.
    """

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=EMBEDDING_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        self.tower = CLIPTextModelWithProjection(config)

    def forward(self, ids: Tensor) -> Tensor:
        """One embedding per text."""
        embeddings: Tensor = self.tower(ids).text_embeds
        return F.normalize(embeddings.float(), dim=1)


def load_describer(path: Path, tokenizer: CLIPTokenizer) -> Describer:
    """Read what the stage `describer` wrote; computes in float32."""
    return load_half(Describer(tokenizer), path)


@torch.no_grad()
def describe_all(network: Describer, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Embeddings (N, 128) of many texts."""
    parts = [network(ids) for ids in token_ids(tokenizer, texts).split(64)]
    return torch.cat(parts)
