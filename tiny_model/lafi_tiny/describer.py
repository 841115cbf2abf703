"""The recogniser's text tower: what a character is said to look like, as an embedding.

It lands where the recogniser puts a picture of such a character, so that a cosine compares the
two. What the words leave out adds nothing to it.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from lafi_tiny.architecture import TEXT_LENGTH
from lafi_tiny.recogniser import EMBEDDING_WIDTH

WIDTH, LAYERS, HEADS = 64, 2, 4


class Describer(nn.Module):
    """Token ids (B, 48) int64 -> embeddings (B, 128) float32 of unit length.

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


def tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids (B, 48) int64; longer texts are cut."""
    ids: Tensor = tokenizer(
        texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def save_describer(network: Describer, path: Path) -> None:
    """Write the weights as float16 safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, path)


def load_describer(path: Path, tokenizer: CLIPTokenizer) -> Describer:
    """Read what `save_describer` wrote; computes in float32."""
    network = Describer(tokenizer)
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    network.load_state_dict(state)
    return network.eval()


@torch.no_grad()
def describe_all(network: Describer, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Embeddings (N, 128) of many texts."""
    parts = [network(ids) for ids in tokens(tokenizer, texts).split(64)]
    return torch.cat(parts)
