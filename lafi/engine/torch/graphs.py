"""A torch denoiser behind the protocol `CompiledEngine` of `lafi.engine.cuda.graphs`.

So the runner that replays TensorRT's engines also replays torch's forward pass, as one CUDA graph
for each shape of a batch. Knows how a batch is bound to buffers, not what predicts. Rows are not
padded: a torch module takes any number of them, and an added row would cost as much as a real one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from lafi.engine.cuda.buffers import Padding
from lafi.engine.cuda.graphs import Device, GraphRunner
from lafi.engine.torch.device import pinned
from lafi.model.bank_groups import BANK_MASK, BankGroup, bank_tensor_names
from lafi.model.engine_metadata import Shape
from lafi.ports.denoiser_tensors import ADDED, INT32, ROWS, batch_of_tensors, denoiser_tensors
from lafi.ports.engines import DenoiserBatch

Predict = Callable[[DenoiserBatch], Tensor]
"""Rows on the module's device -> what it predicts, there: (B, C, h, w)."""

PREDICTION: Final = "prediction"


class ForwardEngine:
    """`CompiledEngine`: inputs are named as `denoiser_tensors` does; one output, like the latents.

    A model that predicts more channels than it is given is refused by the copy into the output's
    buffer.
    """

    def __init__(
        self, predict: Predict, groups: Sequence[BankGroup], dtype: torch.dtype, added: bool
    ) -> None:
        """groups: of the model's bank. dtype: of the keys and values in it.

        added: whether batches have `pooled` and `time_ids`.
        """
        self._predict = predict
        self._groups = groups
        names = (*ROWS, *ADDED, BANK_MASK) if added else (*ROWS, BANK_MASK)
        rows = {name: torch.int32 if name in INT32 else torch.float32 for name in names}
        self.inputs: Mapping[str, torch.dtype] = rows | dict.fromkeys(
            bank_tensor_names(groups), dtype
        )
        self.outputs: Mapping[str, torch.dtype] = {PREDICTION: torch.float32}

    def session(self, shapes: Mapping[str, Shape]) -> "ForwardSession":
        return ForwardSession(self._predict, self._groups, shapes["latents"])


class ForwardSession:
    """`Session`: one forward pass over the tensors that are bound."""

    def __init__(self, predict: Predict, groups: Sequence[BankGroup], output: Shape) -> None:
        self.output_shapes: Mapping[str, Shape] = {PREDICTION: output}
        self._predict = predict
        self._groups = groups
        self._bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self._bound[name] = tensor

    def enqueue(self) -> None:
        batch = batch_of_tensors(self._bound, self._groups)
        self._bound[PREDICTION].copy_(self._predict(batch))


class GraphDenoiser:
    """`lafi.ports.engines.Denoiser`: a forward pass replayed as a CUDA graph.

    A batch of a new shape first costs a plain forward pass and a capture; the shapes that were
    used last are kept (`lafi.engine.cuda.graphs.MAX_SHAPES`). A call copies the batch into the
    graph's buffers, its bank too; without a bank that is a placeholder of one token.
    """

    def __init__(
        self,
        engine: ForwardEngine,
        groups: Sequence[BankGroup],
        device: Device,
        where: torch.device,
    ) -> None:
        """groups: of the model's bank. where: the torch device that `device` stands for."""
        self._groups = groups
        self._where = where
        self._runner = GraphRunner(engine, device, Padding(rows_of="latents", axes={}))

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        tensors = denoiser_tensors(batch, self._groups)
        feed = {name: pinned(tensor, self._where) for name, tensor in tensors.items()}
        return self._runner(feed)[PREDICTION]
