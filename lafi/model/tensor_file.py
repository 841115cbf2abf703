"""Reads the header of a safetensors file and says what is wrong with a damaged one.

Layout of the format: the header's length as 8 bytes, the header as JSON with dtype, shape and
byte range of every tensor, then the bytes. Reads no tensor, needs no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_LENGTH_BYTES: Final = 8
PICKLED: Final = (b"PK", b"\x80\x02")
"""How files of torch.save begin: a zip archive, or a pickle in older versions."""
_MAX_HEADER: Final = 100_000_000
"""Bytes; the limit of the format's own reader."""
_BITS: Final = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
}
_OTHER_KINDS: Final = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself; `git lfs pull` gets it"),
    (b"<", "a web page, so the download failed; download it again"),
    (b"PK", "what torch.save writes; allowed here: safetensors"),
    (b"\x80", "what pickle writes; allowed here: safetensors"),
    (b"GGUF", "a GGUF file; allowed here: safetensors"),
)
"""How files begin that are something else, and what to say of them."""


_COUNTS: Final = ("position_ids", "num_batches_tracked")
"""How names of whole numbers end that are in files of weights and are none."""


class TensorFileError(ValueError):
    """A file of tensors is missing, damaged or of another kind; the text names it and why."""


@dataclass(frozen=True, slots=True)
class TensorBytes:
    """Where a tensor's bytes lie in its file: offset of the first one, and their number."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Every tensor's place by its name, and the file's own notes."""

    tensors: Mapping[str, TensorBytes]
    metadata: Mapping[str, str]


def is_float(dtype: str) -> bool:
    """Whether a header's name of a type is one of floating-point numbers."""
    return dtype.startswith(("F", "BF"))


def check_weights(path: Path, tensors: Mapping[str, TensorBytes]) -> None:
    """Raises TensorFileError for weights of a network that are whole numbers, as quantized ones."""
    for name, place in tensors.items():
        if not is_float(place.dtype) and not name.endswith(_COUNTS):
            raise TensorFileError(
                f"{path}: {name}: got {place.dtype}, quantized or no weights; allowed: weights as "
                "floating-point numbers"
            )


def read_header(path: Path) -> TensorHeader:
    """The header of a safetensors file. Raises TensorFileError, also where bytes are missing."""
    path = Path(path)
    if not path.is_file():
        raise TensorFileError(f"{path}: no such file")
    size = path.stat().st_size
    if not size:
        raise TensorFileError(f"{path}: is empty")
    with path.open("rb") as file:
        start = file.read(_LENGTH_BYTES)
        length = int.from_bytes(start, "little")
        if _LENGTH_BYTES + length > size or length > _MAX_HEADER or len(start) < _LENGTH_BYTES:
            raise TensorFileError(f"{path}: {_other_kind(path, length, size)}")
        text = file.read(length)
    try:
        content = json.loads(text)
        metadata = content.pop("__metadata__", None) or {}
        if not all(isinstance(note, str) for note in metadata.values()):
            raise TypeError("notes are text")
        tensors = {name: _place(entry, _LENGTH_BYTES + length) for name, entry in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise TensorFileError(
            f"{path}: its header cannot be read: the file is damaged or no safetensors file"
        ) from None
    for name, place in tensors.items():
        _check_length(path, name, place)
    needed = max((t.offset + t.length for t in tensors.values()), default=_LENGTH_BYTES + length)
    if needed != size:
        why = "cut off" if size < needed else "longer than it should be"
        raise TensorFileError(f"{path}: is {why}: it has {size} bytes, its header says {needed}")
    return TensorHeader(tensors, metadata)


def is_safetensors(path: Path) -> bool:
    """Whether the name says so, or the file begins unlike what torch.save writes."""
    if Path(path).suffix.lower() in (".safetensors", ".sft") or not Path(path).is_file():
        return True
    with Path(path).open("rb") as file:
        return file.read(2) not in PICKLED


def _place(entry: Mapping[str, Any], data: int) -> TensorBytes:
    begin, end = entry["data_offsets"]
    return TensorBytes(
        dtype=str(entry["dtype"]),
        shape=tuple(int(side) for side in entry["shape"]),
        offset=data + int(begin),
        length=int(end) - int(begin),
    )


def _check_length(path: Path, name: str, place: TensorBytes) -> None:
    if place.dtype not in _BITS:
        allowed = ", ".join(_BITS)
        raise TensorFileError(f"{path}: {name}: dtype: got {place.dtype}, allowed {allowed}")
    count = 1
    for side in place.shape:
        count *= side
    if place.length * 8 != count * _BITS[place.dtype] or min(place.shape, default=0) < 0:
        raise TensorFileError(
            f"{path}: its header is damaged: {name} has {place.length} bytes for "
            f"{list(place.shape)} of {place.dtype}"
        )


def _other_kind(path: Path, length: int, size: int) -> str:
    with path.open("rb") as file:
        begin = file.read(64).lstrip()
    for mark, said in _OTHER_KINDS:
        if begin.startswith(mark):
            return f"is {said}"
    return (
        f"its header should have {length} bytes and the whole file has {size}: "
        "it is cut off, damaged, or no safetensors file"
    )
