"""An engine whose calls are answered by a served model; the pipeline cannot tell it from its own.

Knows tensors and a `ModelSpec`, not Triton Server: whoever makes one brings the call.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lafi.ports.engines import EncodedText, encoded_text
from lafi.wire.model_spec import ModelSpec

Array = npt.NDArray[Any]
CallModel = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
"""(model, inputs by name) -> outputs by name; raises what it likes."""


class RemoteEngine:
    """Calls a served model with one input, in batches that it allows."""

    def __init__(self, spec: ModelSpec, infer: CallModel) -> None:
        self._spec = spec
        self._infer = infer

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) of the model's input -> (B, ...) of its first output, any B of 1 or more."""
        return self.outputs(rows)[0]

    def outputs(self, rows: Tensor) -> tuple[Tensor, ...]:
        """(B, ...) of the model's input -> (B, ...) of each of its outputs, in their order."""
        chunks = rows.contiguous().split(self._spec.max_batch_size)
        answers = [self._call(chunk) for chunk in chunks]
        return tuple(torch.cat(output) for output in zip(*answers, strict=True))

    def _call(self, rows: Tensor) -> tuple[Tensor, ...]:
        outputs = self._infer(self._spec.name, {self._spec.inputs[0].name: rows.numpy()})
        # Copies: the arrays may lie in memory that is given back when the response goes.
        return tuple(torch.from_numpy(np.array(outputs[spec.name])) for spec in self._spec.outputs)


class RemoteTextEncoder:
    """`lafi.ports.engines.TextEncoder` by calls of the served model `text_encoder`."""

    def __init__(self, spec: ModelSpec, infer: CallModel) -> None:
        self._engine = RemoteEngine(spec, infer)
        self._names = [output.name.lower() for output in spec.outputs]

    def __call__(self, token_ids: Tensor) -> EncodedText:
        """Token ids as the protocol says, any batch -> encoded text."""
        return encoded_text(self._engine.outputs(token_ids), self._names)
