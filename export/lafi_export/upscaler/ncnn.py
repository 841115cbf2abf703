"""Reads the weights of a network from ncnn's format: a .param file and a .bin file.

A .param file lists layers: type, name, numbers of inputs and outputs, their names, and parameters
`number=value`. The .bin file has the weights one after the other, in the order of the layers
(https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure). A file whose layers are not
those of a known network is refused, since only their order says what is what.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_MAGIC: Final = "7767517"
_HALF: Final = 0x01306B47
"""The mark in front of weights in float16; 0 stands in front of float32."""
_WEIGHTED: Final = ("Convolution", "PReLU")
_BICUBIC: Final = 3
_CONVOLUTION: Final = {1: 3, 4: 1, 5: 1}
"""What every convolution has: a side of 3, 1 pixel of padding, a bias."""
_PLAIN: Final = {2: 1, 3: 1, 8: 0}
"""Dilation, stride and 8-bit weights, which may be left out."""
_LEAKY: Final = {9: 2, -23310: (1, 0.2)}
"""A leaky ReLU in a convolution."""
_DENSE: Final = ("Convolution", *("Concat", "Convolution") * 4, "Eltwise")
_TAIL: Final = (
    *("Convolution", "BinaryOp", "Interp", "Convolution", "Interp"),
    *("Convolution",) * 3,
)

Value = float | tuple[float, ...]


class NcnnError(ValueError):
    """Files that are not ncnn's, or hold another network; the text names file and layer."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a .param file; parameters by number."""

    kind: str
    name: str
    parameters: dict[int, Value]


def read_ncnn(param: Path, weights: Path) -> tuple[dict[str, Tensor], int]:
    """The weights by the names of `lafi_export.upscaler.network`, and `shrink` as it has it.

    Raises NcnnError.
    """
    layers = [layer for layer in read_layers(param) if layer.kind not in ("Input", "Split")]
    kinds = tuple(layer.kind for layer in layers)
    for names, allowed in (_compact_names(kinds), _dense_names(kinds)):
        if allowed == kinds[: len(allowed)] and len(kinds) - len(allowed) <= (names[0] == "body.0"):
            return _named(names, layers, weights), _shrink(layers, len(allowed), param)
    raise NcnnError(f"{param}: got the layers of another network, allowed SRVGGNetCompact, RRDBNet")


def read_layers(param: Path) -> list[Layer]:
    """The layers of a .param file in order. Raises NcnnError for another kind of file."""
    try:
        magic, counts, *lines = param.read_text("utf-8").splitlines()
        if magic.strip() != _MAGIC or int(counts.split()[0]) != len(lines):
            raise ValueError("no .param file, or one that is cut off")
        return [_layer(line) for line in lines]
    except (OSError, ValueError, IndexError) as error:
        raise NcnnError(f"{param}: {error}") from error


def _layer(line: str) -> Layer:
    kind, name, inputs, outputs, *rest = line.split()
    parameters: dict[int, Value] = {}
    for pair in rest[int(inputs) + int(outputs) :]:
        key, value = pair.split("=")
        numbers = tuple(float(number) for number in value.split(","))
        parameters[int(key)] = numbers if int(key) <= -23300 else numbers[0]
    return Layer(kind, name, parameters)


def _compact_names(kinds: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names of what has weights, and the layers that there must be."""
    pairs = kinds.count("PReLU")
    names = [f"body.{place}" for place in range(2 * pairs + 1)]
    ends = ("Convolution", "PixelShuffle", "Interp", "BinaryOp")
    return names, ("Convolution", "PReLU") * pairs + ends


def _dense_names(kinds: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    blocks = (kinds.count("Convolution") - 6) // 15
    names = ["conv_first"]
    names += [
        f"body.{block}.rdb{part}.conv{place}"
        for block in range(blocks)
        for part in range(1, 4)
        for place in range(1, 6)
    ]
    names += ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    return names, ("Convolution", *(*_DENSE * 3, "Eltwise") * blocks, *_TAIL)


def _shrink(layers: Sequence[Layer], count: int, param: Path) -> int:
    """The factor of the whole if a layer behind the network reduces its result, else 0."""
    if len(layers) == count:
        return 0
    last, shuffle = layers[-1], next(layer for layer in layers if layer.kind == "PixelShuffle")
    factor = _number(shuffle, 0) * _number(last, 1)
    right = last.kind == "Interp" and _number(last, 0) == _BICUBIC
    if not right or _number(last, 1) != _number(last, 2) or factor not in (2, 3):
        raise NcnnError(f"{param}: {last.name}: got another layer, allowed a bicubic reduction")
    return int(factor)


def _named(names: Sequence[str], layers: Sequence[Layer], weights: Path) -> dict[str, Tensor]:
    """Every weight by its name, read in order."""
    state: dict[str, Tensor] = {}
    reader = _Reader(weights)
    width = 3
    weighted = [layer for layer in layers if layer.kind in _WEIGHTED]
    dense = names[0] == "conv_first"
    for name, layer in zip(names, weighted, strict=True):
        if layer.kind == "PReLU":
            state[f"{name}.weight"] = reader.floats((_whole(layer, 0),))
            continue
        leaky = dense and not name.endswith(("conv5", "conv_first", "conv_body", "conv_last"))
        _check_convolution(layer, leaky, weights)
        made = _whole(layer, 0)
        width = _whole(layer, 6) // (made * 9)
        state[f"{name}.weight"] = reader.weights((made, width, 3, 3))
        state[f"{name}.bias"] = reader.floats((made,))
    reader.end()
    return state


def _check_convolution(layer: Layer, leaky: bool, file: Path) -> None:
    wanted = _CONVOLUTION | (_LEAKY if leaky else {})
    found = {key: value for key, value in layer.parameters.items() if key not in (0, 6)}
    found = {key: value for key, value in found.items() if _PLAIN.get(key) != value}
    if found != wanted:
        raise NcnnError(f"{file}: {layer.name}: got {found}, allowed {wanted}")


def _number(layer: Layer, key: int) -> float:
    value = layer.parameters.get(key, 0.0)
    return math.nan if isinstance(value, tuple) else value


def _whole(layer: Layer, key: int) -> int:
    return int(_number(layer, key))


class _Reader:
    """Takes arrays from a .bin file, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path.read_bytes()
        self._at = 0

    def weights(self, shape: tuple[int, ...]) -> Tensor:
        """Behind a mark of 4 bytes: float16, padded to 4 bytes, or float32."""
        mark = int.from_bytes(self._take(4), "little")
        if mark == 0:
            return self.floats(shape)
        if mark != _HALF:
            raise NcnnError(f"{self._path}: got weights of kind {mark:#x}, allowed f16 and f32")
        size = 2 * math.prod(shape)
        data = self._take(size + -size % 4)[:size]
        return _tensor(np.frombuffer(data, "<f2"), shape)

    def floats(self, shape: tuple[int, ...]) -> Tensor:
        """float32 without a mark."""
        return _tensor(np.frombuffer(self._take(4 * math.prod(shape)), "<f4"), shape)

    def end(self) -> None:
        """Raises NcnnError unless everything was read."""
        left = len(self._data) - self._at
        if left:
            raise NcnnError(f"{self._path}: got {left} bytes too many for the layers")

    def _take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise NcnnError(f"{self._path}: got a file that ends too early for the layers")
        self._at += size
        return data


def _tensor(array: npt.NDArray[Any], shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32).reshape(shape))
