"""Engines that call a served model; the pipeline uses them like engines in its own process.

Knows tensors and a `ModelSpec`, not Triton Server: the function that calls a model is an argument.
"""

import numpy as np
import torch
from torch import Tensor

from lafi.ports.engines import EncodedText
from lafi.ports.text_tensors import text_tensors
from lafi.serving.call_model import CallModel
from lafi.wire.model_spec import ModelSpec


class RemoteEngine:
    """Calls a served model that has one input, with batches no larger than the model allows."""

    def __init__(self, spec: ModelSpec, call_model: CallModel) -> None:
        self._spec = spec
        self._call_model = call_model

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) of the model's input -> (B, ...) of its first output; B is 1 or more."""
        return self.outputs(rows)[0]

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, ...) of each of the model's inputs -> (B, ...) of each of its outputs, in order."""
        most = self._spec.max_batch_size
        chunks = zip(*(rows.contiguous().split(most) for rows in inputs), strict=True)
        answers = [self._call(chunk) for chunk in chunks]
        return tuple(torch.cat(output) for output in zip(*answers, strict=True))

    def _call(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        named = zip(self._spec.inputs, inputs, strict=True)
        given = {spec.name: rows.numpy() for spec, rows in named}
        outputs = self._call_model(self._spec.name, given)
        # Copies, because the arrays may lie in memory that is freed with the response.
        return tuple(torch.from_numpy(np.array(outputs[spec.name])) for spec in self._spec.outputs)


class RemoteTextEncoder:
    """`lafi.ports.engines.TextEncoder` that calls the served model `text_encoder`."""

    def __init__(self, spec: ModelSpec, call_model: CallModel, most_clip_skip: int) -> None:
        self._engine = RemoteEngine(spec, call_model)
        self._names = [output.name.lower() for output in spec.outputs]
        self._most = most_clip_skip

    def __call__(self, token_ids: Tensor, clip_skip: int = 0) -> EncodedText:
        """Token ids as in the protocol, any batch size -> encoded text."""
        tensors = text_tensors(token_ids, clip_skip, self._most)
        return dict(zip(self._names, self._engine.outputs(*tensors.values()), strict=True))
