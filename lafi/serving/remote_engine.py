"""Engines that call a served model; the pipeline uses them like engines in its own process.

Knows tensors and a `ModelSpec`, not Triton Server: the function that calls a model is an argument.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lafi.ports.engines import EncodedText
from lafi.wire.model_spec import ModelSpec

Array = npt.NDArray[Any]
CallModel = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
"""(model, inputs by name) -> outputs by name; raises what it likes."""


class RemoteEngine:
    """Calls a served model that has one input, with batches no larger than the model allows."""

    def __init__(self, spec: ModelSpec, call_model: CallModel) -> None:
        self._spec = spec
        self._call_model = call_model

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) of the model's input -> (B, ...) of its first output; B is 1 or more."""
        return self.outputs(rows)[0]

    def outputs(self, rows: Tensor) -> tuple[Tensor, ...]:
        """(B, ...) of the model's input -> (B, ...) of each of its outputs, in order."""
        chunks = rows.contiguous().split(self._spec.max_batch_size)
        answers = [self._call(chunk) for chunk in chunks]
        return tuple(torch.cat(output) for output in zip(*answers, strict=True))

    def _call(self, rows: Tensor) -> tuple[Tensor, ...]:
        outputs = self._call_model(self._spec.name, {self._spec.inputs[0].name: rows.numpy()})
        # Copies, because the arrays may lie in memory that is freed with the response.
        return tuple(torch.from_numpy(np.array(outputs[spec.name])) for spec in self._spec.outputs)


class RemoteTextEncoder:
    """`lafi.ports.engines.TextEncoder` that calls the served model `text_encoder`."""

    def __init__(self, spec: ModelSpec, call_model: CallModel) -> None:
        self._engine = RemoteEngine(spec, call_model)
        self._names = [output.name.lower() for output in spec.outputs]

    def __call__(self, token_ids: Tensor) -> EncodedText:
        """Token ids as in the protocol, any batch size -> encoded text."""
        return dict(zip(self._names, self._engine.outputs(token_ids), strict=True))
