"""What each served model takes, from Triton Server's own configuration of it."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from tritonclient.grpc import model_config_pb2

from lafi.wire.model_spec import ANY, ModelSpec, TensorSpec

ITEM_BYTES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}
"""Bytes of one element by KServe's name of the dtype; BYTES has no fixed size."""
_ROOM_FOR_NAMES = 64 * 2**10
"""Bytes of a request beside its tensors: names, shapes, parameters."""


def spec_of(config: model_config_pb2.ModelConfig) -> ModelSpec:
    """The spec of a served model, from its configuration."""
    return ModelSpec(
        name=config.name,
        inputs=tuple(_tensors(config.input)),
        outputs=tuple(_tensors(config.output)),
        max_batch_size=config.max_batch_size,
        decoupled=config.model_transaction_policy.decoupled,
    )


def largest_request(spec: ModelSpec, limit: int) -> int:
    """Most bytes of a request to this model: what its tensors can hold, at most `limit`."""
    total = _ROOM_FOR_NAMES
    for tensor in spec.inputs:
        if tensor.dtype not in ITEM_BYTES or ANY in tensor.shape:
            return limit
        total += ITEM_BYTES[tensor.dtype] * prod(tensor.shape) * max(1, spec.max_batch_size)
    return min(total, limit)


def _tensors(listed: Iterable[model_config_pb2.ModelInput]) -> Iterable[TensorSpec]:
    for tensor in listed:
        kind = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
        yield TensorSpec(
            name=tensor.name,
            dtype="BYTES" if kind == "STRING" else kind,
            shape=tuple(tensor.dims),
            optional=bool(getattr(tensor, "optional", False)),
        )
