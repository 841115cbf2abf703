"""Writes a checkpoint's weights as float32 files that ONNX graphs refer to.

One file for each part (`unet`, `vae` ...), written tensor by tensor, or copied if the checkpoint's
file has exactly these bytes. Graphs hold offsets into the file. So an export never loads the
weights, two graphs may share a file, and another file with the same layout makes another variant.
Knows files, names and shapes, not networks.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from torch import Tensor

from lafi.model.artifacts import WEIGHTS
from lafi.model.checkpoint import CheckpointError, weight_files
from lafi_export.weights_file import TensorBytes, TensorLayout, tensor_places, write_weights

_TOWER: Final = "text_model."
_OLD_ATTENTION: Final = {
    ".to_q.": ".query.",
    ".to_k.": ".key.",
    ".to_v.": ".value.",
    ".to_out.0.": ".proj_attn.",
}
"""Names of the VAE's attention in older checkpoints such as SD1.5's."""
_NAMED: Final = 5

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PartWeights:
    """The float32 file of one part, and the place of each of the module's tensors in it."""

    part: str
    path: Path
    places: Mapping[str, TensorBytes]
    names: Mapping[str, str]
    """Name in the module -> name in the file."""

    @property
    def location(self) -> str:
        """Path of the file, relative to the artifacts."""
        return f"{WEIGHTS}/{self.path.name}"

    def load(self) -> dict[str, Tensor]:
        """Tensors by their name in the module, memory-mapped from the file."""
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(stored) for name, stored in self.names.items()}


def write_part(checkpoint: Path, part: str, shapes: Mapping[str, Shape], out: Path) -> PartWeights:
    """Write `out/<part>.safetensors`, float32.

    shapes: of the module's tensors by name. CheckpointError names tensors that are missing or
    have another shape.
    """
    files = weight_files(checkpoint / part)
    source: dict[str, tuple[Path, TensorBytes]] = {
        name: (file, place) for file in files for name, place in tensor_places(file).items()
    }
    names = _stored_names(checkpoint, part, shapes, {n: p.shape for n, (_, p) in source.items()})
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{part}.safetensors"
    if len(files) == 1 and all(source[stored][1].dtype == "F32" for stored in names.values()):
        # Not a hard link, because onnx refuses hard-linked weights.
        shutil.copyfile(files[0], path)
    else:
        _convert(path, names, shapes, source)
        names = {name: name for name in names}
    places = tensor_places(path)
    found = {name: places[stored] for name, stored in names.items()}
    return PartWeights(part, path, found, names)


def _convert(
    path: Path,
    names: Mapping[str, str],
    shapes: Mapping[str, Shape],
    source: Mapping[str, tuple[Path, Any]],
) -> None:
    layouts = {name: TensorLayout("F32", shapes[name]) for name in names}
    with ExitStack() as stack:
        opened: dict[Path, Any] = {
            file: stack.enter_context(safe_open(file, framework="pt"))
            for file in {file for file, _ in source.values()}
        }

        def read(name: str) -> Tensor:
            file, _ = source[names[name]]
            tensor: Tensor = opened[file].get_tensor(names[name])
            return tensor.to(torch.float32).reshape(shapes[name])

        write_weights(path, layouts, read)


def _stored_names(
    checkpoint: Path, part: str, shapes: Mapping[str, Shape], stored: Mapping[str, Shape]
) -> dict[str, str]:
    """Name in the module -> name in the checkpoint. Raises CheckpointError."""
    names: dict[str, str] = {}
    problems = []
    for name, shape in shapes.items():
        found = next((other for other in _spellings(name) if other in stored), None)
        if found is None:
            problems.append(f"{name} is missing")
        elif _squeezed(stored[found]) != _squeezed(shape):
            problems.append(f"{name}: got shape {list(stored[found])}, allowed {list(shape)}")
        else:
            names[name] = found
    if problems:
        raise CheckpointError(f"{checkpoint}: weights of {part}: {_some(problems)}")
    return names


def _spellings(name: str) -> Iterator[str]:
    """The names of a tensor in older and newer checkpoints."""
    yield name
    yield _TOWER + name
    yield name.removeprefix(_TOWER)
    for new, old in _OLD_ATTENTION.items():
        if new in name:
            yield name.replace(new, old)


def _squeezed(shape: Shape) -> Shape:
    """The shape without 1 x 1 at its end, as in old attention weights stored as convolutions."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _some(lines: Iterable[str]) -> str:
    every = list(lines)
    rest = len(every) - _NAMED
    return "; ".join(every[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
