"""A torch denoiser as a `CompiledEngine` of `lafi.engine.cuda.graphs`.

So `GraphRunner` can replay torch's forward pass like a TensorRT engine, with one CUDA graph per
shape of a batch. Knows how a batch is bound to buffers, not networks. Rows are not padded: a torch
module takes any number of rows, and a padding row would cost as much as a real one.
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
from lafi.model.input_port import InputPort
from lafi.ports.denoiser_tensors import TORCH_DTYPES, batch_of_tensors, denoiser_tensors
from lafi.ports.engines import DenoiserBatch

Predict = Callable[[DenoiserBatch], Tensor]
"""Rows on the module's device -> prediction (B, C, h, w) on the same device."""

PREDICTION: Final = "prediction"


class ForwardEngine:
    """`CompiledEngine` with the inputs of `denoiser_tensors` and one output, shaped as the latents.

    A model that predicts more channels than its input has fails in the copy into the output's
    buffer.
    """

    def __init__(
        self,
        predict: Predict,
        ports: Sequence[InputPort],
        groups: Sequence[BankGroup],
        dtype: torch.dtype,
    ) -> None:
        """ports: the model's. groups: of its bank. dtype: of the bank's keys and values."""
        self._predict = predict
        self._groups = groups
        rows = {port.name: TORCH_DTYPES[port.dtype] for port in ports}
        rows[BANK_MASK] = torch.float32
        self.inputs: Mapping[str, torch.dtype] = rows | dict.fromkeys(
            bank_tensor_names(groups), dtype
        )
        self.outputs: Mapping[str, torch.dtype] = {PREDICTION: torch.float32}

    def session(self, shapes: Mapping[str, Shape]) -> "ForwardSession":
        return ForwardSession(self._predict, self._groups, shapes["latents"])


class ForwardSession:
    """`Session`: one forward pass over the bound tensors."""

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

    The first batch of a new shape costs a normal forward pass and a capture. Graphs of the most
    recently used shapes are kept (`lafi.engine.cuda.graphs.MAX_SHAPES`). A call copies the batch
    and its bank into the graph's buffers; without a bank it copies a placeholder of one token.
    """

    def __init__(
        self,
        engine: ForwardEngine,
        ports: Sequence[InputPort],
        groups: Sequence[BankGroup],
        device: Device,
        where: torch.device,
    ) -> None:
        """ports, groups: the model's. where: the torch device of `device`."""
        self._ports = ports
        self._groups = groups
        self._where = where
        self._runner = GraphRunner(engine, device, Padding(rows_of="latents", axes={}))

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        tensors = denoiser_tensors(batch, self._ports, self._groups)
        feed = {name: pinned(tensor, self._where) for name, tensor in tensors.items()}
        return self._runner(feed)[PREDICTION]
