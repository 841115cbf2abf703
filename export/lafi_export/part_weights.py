"""Writes a checkpoint's weights as float32 files that ONNX graphs refer to.

One file for each part (`unet`, `vae` ...), written tensor by tensor, or copied if the checkpoint's
file has exactly these bytes. Graphs hold offsets into the file. So an export never loads the
weights, two graphs may share a file, and another file with the same layout makes another variant.
Knows files, names and shapes, not networks.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from lafi.model.artifacts import WEIGHTS
from lafi.model.checkpoint import CheckpointError, weight_files
from lafi.model.tensor_file import TensorBytes, TensorFileError, check_weights
from lafi_export.weights_file import TensorLayout, rewrite_weights, tensor_places, write_weights

_TOWER: Final = "text_model."
_LANGUAGE_MODEL: Final = "model."
"""Stands before the names of a language model's body where its head was saved with it, as Qwen3's
are published."""
_OLD_ATTENTION: Final = {
    ".to_q.": ".query.",
    ".to_k.": ".key.",
    ".to_v.": ".value.",
    ".to_out.0.": ".proj_attn.",
}
"""Names of the VAE's attention in older checkpoints such as SD1.5's."""
_TIED: Final = {
    "encoder.embed_tokens.weight": "shared.weight",
    "shared.weight": "encoder.embed_tokens.weight",
}
"""Names of the one table of T5's tokens; a checkpoint may store it under either."""
_NAMED: Final = 5

Shape = tuple[int, ...]
Change = Callable[[str, Tensor, Callable[[str], Tensor]], Tensor]


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


class _Source(NamedTuple):
    """The stored tensors of a part.

    names  in the module -> in the file; places: by name in the file; whole: one file, float32
    """

    names: Mapping[str, str]
    places: Mapping[str, tuple[Path, TensorBytes]]
    files: tuple[Path, ...]

    @property
    def whole(self) -> bool:
        dtypes = {self.places[stored][1].dtype for stored in self.names.values()}
        return len(self.files) == 1 and dtypes == {"F32"}


def write_part(checkpoint: Path, part: str, shapes: Mapping[str, Shape], out: Path) -> PartWeights:
    """Write `out/<part>.safetensors`, float32.

    shapes: of the module's tensors by name. CheckpointError names tensors that are missing, have
    another shape, or hold no finite numbers.
    """
    source = _source(checkpoint, part, shapes)
    names = source.names
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{part}.safetensors"
    if source.whole:
        with _opened(source) as read:
            for name in names:
                read(name)
        # Not a hard link, because onnx refuses hard-linked weights.
        shutil.copyfile(source.files[0], path)
    else:
        with _opened(source) as read:
            layouts = {name: TensorLayout("F32", shapes[name]) for name in names}
            write_weights(path, layouts, lambda name: read(name).reshape(shapes[name]))
        names = {name: name for name in names}
    places = tensor_places(path)
    found = {name: places[stored] for name, stored in names.items()}
    return PartWeights(part, path, found, names)


def rewrite_part(
    checkpoint: Path,
    part: str,
    shapes: Mapping[str, Shape],
    path: Path,
    change: Change,
    changed: Mapping[str, Shape],
) -> None:
    """Write `path` with the part's tensors changed, float32, laid out as `write_part` does.

    change: (name in the module, its tensor, reader of the part's other tensors) -> float32.
    changed: new shapes of tensors whose shape changes.
    """
    source = _source(checkpoint, part, shapes)
    with _opened(source) as read:
        if source.whole:
            stored = {stored: name for name, stored in source.names.items()}
            larger = {source.names[name]: shape for name, shape in changed.items()}

            def one(key: str, tensor: Tensor) -> Tensor:
                return change(stored[key], tensor, read) if key in stored else tensor

            rewrite_weights(source.files[0], path, one, larger)
            return
        layouts = {name: TensorLayout("F32", changed.get(name, shapes[name])) for name in shapes}
        write_weights(
            path, layouts, lambda name: change(name, read(name).reshape(shapes[name]), read)
        )


def read_tensor(checkpoint: Path, part: str, name: str, shapes: Mapping[str, Shape]) -> Tensor:
    """One tensor of a part by its name in the module, float32."""
    with _opened(_source(checkpoint, part, shapes)) as read:
        return read(name)


def _source(checkpoint: Path, part: str, shapes: Mapping[str, Shape]) -> _Source:
    files = weight_files(checkpoint / part)
    places = {name: (file, place) for file in files for name, place in tensor_places(file).items()}
    stored = {name: place.shape for name, (_, place) in places.items()}
    return _Source(_stored_names(checkpoint, part, shapes, stored), places, files)


@contextmanager
def _opened(source: _Source) -> Iterator[Callable[[str], Tensor]]:
    """A reader: name in the module -> its tensor, float32, in the shape that the file has.

    It raises CheckpointError for values that are not finite, and for quantized ones.
    """
    with ExitStack() as stack:
        opened: dict[Path, Any] = {
            file: stack.enter_context(safe_open(file, framework="pt")) for file in source.files
        }

        def read(name: str) -> Tensor:
            stored = source.names[name]
            path, place = source.places[stored]
            try:
                check_weights(path, {stored: place})
            except TensorFileError as error:
                raise CheckpointError(str(error)) from error
            tensor: Tensor = opened[path].get_tensor(stored).to(torch.float32)
            if not torch.isfinite(tensor).all():
                raise CheckpointError(f"{path}: {stored}: values that are not finite")
            return tensor

        yield read


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
    yield _LANGUAGE_MODEL + name
    for new, old in _OLD_ATTENTION.items():
        if new in name:
            yield name.replace(new, old)
    if name in _TIED:
        yield _TIED[name]


def _squeezed(shape: Shape) -> Shape:
    """The shape without 1 x 1 at its end, as in old attention weights stored as convolutions."""
    return shape[:2] if shape[2:] == (1, 1) else shape


def _some(lines: Iterable[str]) -> str:
    every = list(lines)
    rest = len(every) - _NAMED
    return "; ".join(every[:_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
