"""A torch denoiser behind the protocol `CompiledEngine` of `lafi.engine.cuda_graphs`.

So the runner that replays TensorRT's engines also replays torch's forward pass, as one CUDA graph
for each shape of a batch. Knows how a batch is bound to buffers, not what predicts. Rows are not
padded: a torch module takes any number of them, and an added row would cost as much as a real one.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from lafi.bank import BankInputs
from lafi.engine.base import DenoiserBatch
from lafi.engine.cuda_buffers import Padding
from lafi.engine.cuda_graphs import Device, GraphRunner
from lafi.engine.torch_device import pinned
from lafi.engine_metadata import Shape

Predict = Callable[[DenoiserBatch], Tensor]
"""Rows on the module's device -> what it predicts, there: (B, C, h, w)."""

PREDICTION: Final = "prediction"
ROWS: Final = ("latents", "timesteps", "text", "routes", "bias", "mask", "region")
ADDED: Final = ("pooled", "time_ids")
"""Fields of `DenoiserBatch` that every model takes, and those that only SDXL's takes."""
BANK_KEYS: Final = "bank_keys_"
BANK_VALUES: Final = "bank_values_"
BANK_MASK: Final = "bank_mask"


def tensors_of(batch: DenoiserBatch) -> dict[str, Tensor]:
    """All tensors of a batch by name, those of its bank numbered by group."""
    names = ROWS if batch.pooled is None else (*ROWS, *ADDED)
    tensors: dict[str, Tensor] = {name: getattr(batch, name) for name in names}
    if batch.bank is not None:
        for i, (keys, values) in enumerate(zip(batch.bank.keys, batch.bank.values, strict=True)):
            tensors |= {f"{BANK_KEYS}{i}": keys, f"{BANK_VALUES}{i}": values}
        tensors[BANK_MASK] = batch.bank.mask
    return tensors


def batch_of(tensors: Mapping[str, Tensor]) -> DenoiserBatch:
    """The batch whose `tensors_of` these are."""
    own = {name: tensors[name] for name in (*ROWS, *ADDED) if name in tensors}
    bank = None
    if BANK_MASK in tensors:
        groups = range(sum(name.startswith(BANK_KEYS) for name in tensors))
        bank = BankInputs(
            keys=tuple(tensors[f"{BANK_KEYS}{i}"] for i in groups),
            values=tuple(tensors[f"{BANK_VALUES}{i}"] for i in groups),
            mask=tensors[BANK_MASK],
        )
    return DenoiserBatch(**own, bank=bank)


class ForwardEngine:
    """`CompiledEngine`: inputs are named as `tensors_of` does; the output has the latents' shape.

    A model that predicts more channels than it is given is refused by the copy into the output's
    buffer.
    """

    def __init__(self, predict: Predict, inputs: Mapping[str, torch.dtype]) -> None:
        self._predict = predict
        self.inputs = inputs
        self.outputs: Mapping[str, torch.dtype] = {PREDICTION: torch.float32}

    def session(self, shapes: Mapping[str, Shape]) -> "ForwardSession":
        return ForwardSession(self._predict, shapes["latents"])


class ForwardSession:
    """`Session`: one forward pass over the tensors that are bound."""

    def __init__(self, predict: Predict, output: Shape) -> None:
        self.output_shapes: Mapping[str, Shape] = {PREDICTION: output}
        self._predict = predict
        self._bound: dict[str, Tensor] = {}

    def bind(self, name: str, tensor: Tensor) -> None:
        self._bound[name] = tensor

    def enqueue(self) -> None:
        self._bound[PREDICTION].copy_(self._predict(batch_of(self._bound)))


class GraphDenoiser:
    """`lafi.engine.base.Denoiser`: a forward pass replayed as a CUDA graph.

    A batch of a new shape first costs a plain forward pass and a capture; the shapes that were
    used last are kept (`lafi.engine.cuda_graphs.MAX_SHAPES`), batches with a bank and without
    apart. A bank is copied into the graph's buffers at each call.
    """

    def __init__(self, predict: Predict, device: Device, kind: torch.device) -> None:
        """kind: the torch device of the module."""
        self._predict = predict
        self._device = device
        self._kind = kind
        # By the inputs' names and dtypes: one with a bank, one without.
        self._runners: dict[tuple[tuple[str, torch.dtype], ...], GraphRunner] = {}
        # They share the device's stream and its pool of memory.
        self._turn = threading.Lock()

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        feed = {name: pinned(tensor, self._kind) for name, tensor in tensors_of(batch).items()}
        with self._turn:
            return self._runner(feed)(feed)[PREDICTION]

    def _runner(self, feed: Mapping[str, Tensor]) -> GraphRunner:
        inputs = {name: tensor.dtype for name, tensor in feed.items()}
        key = tuple(inputs.items())
        if key not in self._runners:
            padding = Padding(rows_of="latents", axes={})
            engine = ForwardEngine(self._predict, inputs)
            self._runners[key] = GraphRunner(engine, self._device, padding)
        return self._runners[key]
