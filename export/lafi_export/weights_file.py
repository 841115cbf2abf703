"""Safetensors files of any size, rewritten tensor by tensor.

Memory holds one tensor at a time. The layout is that of the safetensors format: a length, a
JSON header with dtype, shape and byte range of every tensor, then the bytes.
"""

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor

_ITEM_BYTES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}
_ALIGN: Final = 8


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in the file; reads the header only."""
    with safe_open(path, framework="pt") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def rewrite_weights(
    source: Path,
    target: Path,
    change: Callable[[str, Tensor], Tensor],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Writes `target` with every tensor of `source` passed through `change`.

    change: (name, tensor) -> tensor of the same dtype. shapes: of the tensors whose shape it
    changes. Raises ValueError if it returns anything else.
    """
    with safe_open(source, framework="pt") as file:
        header, names = _header(file, shapes or {})
        with target.open("wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            for name, (dtype, shape) in names.items():
                old = file.get_tensor(name)
                new = change(name, old)
                if new.dtype != old.dtype or tuple(new.shape) != shape:
                    raise ValueError(
                        f"{name}: got {new.dtype} {list(new.shape)}, allowed {dtype} {list(shape)}"
                    )
                out.write(new.contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _header(
    file: Any, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[bytes, dict[str, tuple[str, tuple[int, ...]]]]:
    """The header's bytes, padded, and what follows it in order: name -> (dtype, shape)."""
    entries: dict[str, Any] = {"__metadata__": file.metadata() or {"format": "pt"}}
    names: dict[str, tuple[str, tuple[int, ...]]] = {}
    offset = 0
    for name in file.offset_keys():
        old = file.get_slice(name)
        dtype, shape = old.get_dtype(), tuple(shapes.get(name, old.get_shape()))
        size = _ITEM_BYTES[dtype] * prod(shape)
        entries[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        names[name] = (dtype, shape)
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGN), names
