"""A text stack's networks as a `TextEncoder`. Knows neither tokenizers nor prompts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lafi.engine.torch.device import bring, current, give_back
from lafi.engine.torch.text_stack import TorchTextStack
from lafi.ports.engines import EncodedText
from lafi.ports.text_tensors import text_tensors


class TorchTextEncoder:
    """`lafi.ports.engines.TextEncoder` with the networks of a text stack."""

    def __init__(
        self,
        stack: TorchTextStack,
        models: Sequence[nn.Module],
        names: Sequence[str],
        most_clip_skip: int,
    ) -> None:
        """models: all on one device. names: the ports that their outputs fill."""
        self._stack = stack
        self._models: tuple[Any, ...] = tuple(models)
        self._names = names
        self._most = most_clip_skip

    @torch.no_grad()
    def __call__(self, token_ids: Tensor, clip_skip: int = 0) -> EncodedText:
        """Token ids as in the protocol -> encoded text, float32, on the ids' device."""
        device = next(self._models[0].parameters()).device
        tensors = text_tensors(token_ids, clip_skip, self._most)
        with current(device):
            inputs = (bring(tensor, device) for tensor in tensors.values())
            outputs = self._stack.encode(self._models, *inputs)
            given = (give_back(output, token_ids) for output in outputs)
            return dict(zip(self._names, given, strict=True))
