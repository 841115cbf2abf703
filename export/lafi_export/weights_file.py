"""Writes and rewrites safetensors files of any size, tensor by tensor.

Memory holds one tensor at a time. The layout is that of the safetensors format: a length, a
JSON header with dtype, shape and byte range of every tensor, then the bytes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor

from lafi.model.tensor_file import TensorBytes, read_header

_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
}
_ITEM_BYTES: Final = {name: dtype.itemsize for name, dtype in _DTYPES.items()}
_ALIGN: Final = 8


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the file; reads the header only, as `tensor_places`."""
    return {name: place.shape for name, place in tensor_places(path).items()}


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """dtype in safetensors' names (F32, F16, BF16, I64 ...) and shape of a stored tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return _ITEM_BYTES[self.dtype] * prod(self.shape)


def tensor_places(path: Path) -> dict[str, TensorBytes]:
    """Name -> place of every tensor in the file; reads the header only.

    Raises TensorFileError for a damaged file.
    """
    return dict(read_header(path).tensors)


def write_weights(
    target: Path,
    layouts: Mapping[str, TensorLayout],
    tensor: Callable[[str], Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes `target` with the tensors of `layouts`, in their order.

    tensor: name -> its values; called for one tensor at a time.
    Raises ValueError if one has another dtype or shape than its layout.
    """
    header = _header(layouts, metadata or {"format": "pt"})
    with target.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for name, layout in layouts.items():
            values = tensor(name)
            if _DTYPES[layout.dtype] != values.dtype or tuple(values.shape) != layout.shape:
                raise ValueError(
                    f"{name}: got {values.dtype} {list(values.shape)}, "
                    f"allowed {layout.dtype} {list(layout.shape)}"
                )
            out.write(values.contiguous().flatten().view(torch.uint8).numpy().data)


def rewrite_weights(
    source: Path,
    target: Path,
    change: Callable[[str, Tensor], Tensor],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Writes `target` with `change` applied to every tensor of `source`.

    change: (name, tensor) -> tensor of the same dtype. shapes: new shapes of tensors whose shape
    changes. Raises ValueError if `change` returns another dtype or shape.
    """
    with safe_open(source, framework="pt") as file:
        layouts = {}
        for name in file.offset_keys():
            old = file.get_slice(name)
            shape = tuple((shapes or {}).get(name, old.get_shape()))
            layouts[name] = TensorLayout(old.get_dtype(), shape)

        def changed(name: str) -> Tensor:
            return change(name, file.get_tensor(name))

        write_weights(target, layouts, changed, file.metadata())


def _header(layouts: Mapping[str, TensorLayout], metadata: Mapping[str, str]) -> bytes:
    """The header's bytes, padded so that the first tensor is aligned."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, layout in layouts.items():
        entries[name] = {
            "dtype": layout.dtype,
            "shape": list(layout.shape),
            "data_offsets": [offset, offset + layout.size],
        }
        offset += layout.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGN)
