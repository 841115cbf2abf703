"""Reads files of tensors whole: safetensors, and what torch.save wrote, without executing anything.

Knows files, not what their tensors are for.
"""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lafi.model.tensor_file import PICKLED, TensorFileError, is_safetensors, read_header

_NAMED: Final = 5
"""How many keys an error lists; the others are only counted."""
_CONVERT: Final = (
    'allowed: a file of plain tensors. Where you trust it, convert it: python -c "import torch; '
    "from safetensors.torch import save_file; s = torch.load('{name}', map_location='cpu', "
    "weights_only=False); s = s.get('state_dict', s); save_file({{k: v.contiguous() for k, v in "
    "s.items() if isinstance(v, torch.Tensor)}}, '{stem}.safetensors')\""
)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors by name, memory-mapped where the format allows, and the notes of the file.

    Of a training checkpoint, those of its `state_dict`; names are joined with dots where tensors
    lie in mappings. Raises TensorFileError for a damaged file, and for one that only code of its
    own could read.
    """
    path = Path(path)
    if not is_safetensors(path):
        return _flat(path, load_pickled(path)), {}
    header = read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in header.tensors}
    except (OSError, SafetensorError, AttributeError) as error:
        raise TensorFileError(f"{path}: {error}") from error
    return tensors, dict(header.metadata)


def load_pickled(path: Path) -> Any:
    """What torch.save wrote, by torch's weights-only loading, which executes no code of the file.

    Raises TensorFileError; its text says how to convert a file that needs more.
    """
    _check_readable(path)
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:
            # Files written before torch 1.6 cannot be mapped.
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        why = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error)
        first = why.splitlines()[0].strip() if why else "no pickled tensors"
        how = _CONVERT.format(name=path.name, stem=path.stem)
        raise TensorFileError(
            f"{path}: cannot be read without its own code ({first}); {how}"
        ) from (error)
    except Exception as error:
        # What a damaged archive makes torch raise is not listed anywhere.
        raise TensorFileError(f"{path}: is damaged or no file of tensors ({error})") from error


def some(keys: Iterable[str]) -> str:
    """The first few of `keys`, and the number of the others."""
    every = list(keys)
    rest = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise TensorFileError(f"{path}: no such file")
    with path.open("rb") as file:
        begin = file.read(2)
    if begin not in PICKLED:
        # The reader of headers knows what else it may be.
        read_header(path)
        raise TensorFileError(f"{path}: is a safetensors file; allowed: what torch.save writes")


def _flat(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise TensorFileError(f"{path}: got {type(content).__name__}, allowed a mapping of tensors")
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(value, Tensor):
            found[str(name)] = value
        elif isinstance(value, Mapping):
            inner = {f"{name}.{key}": inner for key, inner in value.items()}
            found |= {key: inner for key, inner in inner.items() if isinstance(inner, Tensor)}
    if not found:
        raise TensorFileError(f"{path}: holds no tensors")
    return found
