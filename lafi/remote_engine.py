"""An engine whose calls are answered by a served model; the pipeline cannot tell it from its own.

Knows tensors and a `ModelSpec`, not Triton Server: whoever makes one brings the call.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lafi.contract import ModelSpec

Array = npt.NDArray[Any]
Infer = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
"""(model, inputs by name) -> outputs by name; raises what it likes."""


class RemoteEngine:
    """Calls a served model with one input and one output, in batches that it allows."""

    def __init__(self, spec: ModelSpec, infer: Infer) -> None:
        self._spec = spec
        self._infer = infer

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) of the model's input -> (B, ...) of its output, any B of 1 or more."""
        chunks = rows.contiguous().split(self._spec.max_batch_size)
        return torch.cat([self._call(chunk) for chunk in chunks])

    def _call(self, rows: Tensor) -> Tensor:
        outputs = self._infer(self._spec.name, {self._spec.inputs[0].name: rows.numpy()})
        # A copy: the array may lie in memory that is given back when the response goes.
        return torch.from_numpy(np.array(outputs[self._spec.outputs[0].name]))
