"""Inputs of a text encoder by name, as the exported file and the served model have them.

Knows tensors, neither texts nor tokenizers.
"""

from typing import Final

import torch
from torch import Tensor

TOKEN_IDS: Final = "token_ids"
CLIP_SKIP: Final = "clip_skip"
"""An input only where the model's text encoder has layers to skip."""


def text_tensors(token_ids: Tensor, clip_skip: int, most: int) -> dict[str, Tensor]:
    """token_ids int64 (B, ...), and clip_skip int64 (B, 1) where `most` is more than 0.

    most: of the model, `most_clip_skip`. Raises ValueError for a clip_skip that it does not have.
    """
    if not 0 <= clip_skip <= most:
        raise ValueError(f"clip_skip: got {clip_skip}, allowed 0 to {most}")
    if not most:
        return {TOKEN_IDS: token_ids}
    skipped = torch.full((len(token_ids), 1), clip_skip, dtype=torch.int64)
    return {TOKEN_IDS: token_ids, CLIP_SKIP: skipped.to(token_ids.device)}
