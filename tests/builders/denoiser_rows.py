"""Random rows for a denoiser."""

import torch
from torch import Tensor

from lafi.model.info import ModelInfo
from lafi.ports.engines import DenoiserBatch


def random_rows(
    info: ModelInfo, seed: int, rows: int, references: int, height: int, width: int
) -> DenoiserBatch:
    """height, width: in fours of latent cells. Routes lead anywhere or nowhere.

    Of three seeds one has texts of up to three windows, of which the first row has least.
    """
    gen = torch.Generator().manual_seed(seed)
    tokens = info.text_length * (1 + seed % 3)
    high, wide = 4 * height, 4 * width
    shape = (len(info.layers), rows, references)
    return DenoiserBatch(
        {
            "latents": torch.randn(rows, info.latent_channels, high, wide, generator=gen),
            "timesteps": torch.randint(0, 1000, (rows,), generator=gen).float(),
            "text": torch.randn(rows, tokens, info.text_width, generator=gen),
            "routes": torch.randint(-1, rows, shape, generator=gen, dtype=torch.int32),
            "bias": torch.randn(rows, references, generator=gen),
            "mask": torch.rand(rows, high, wide, generator=gen).round(decimals=1),
            "region": torch.rand(rows, references, high, wide, generator=gen).round(decimals=1),
            **({"words": limited_words(tokens, rows, references, gen)} if seed % 2 else {}),
            **({"text_mask": counting(info, rows, tokens)} if seed % 3 == 2 else {}),
        },
    )


def counting(info: ModelInfo, rows: int, tokens: int) -> Tensor:
    """(B, T): one window of the first row, and of the others all."""
    mask = torch.ones(rows, tokens)
    mask[0, info.text_length :] = 0.0
    return mask


def limited_words(tokens: int, rows: int, references: int, gen: torch.Generator) -> Tensor:
    """(B, T) int32: the first word, as in every text, is nobody's."""
    shape = (rows, tokens)
    words = torch.randint(-1, references, shape, generator=gen, dtype=torch.int32)
    words[:, 0] = -1
    return words
