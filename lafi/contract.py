"""The wire: tensors of every served model, and storyboards and events as tensors.

BYTES tensors are numpy object arrays of `bytes`. Imports neither torch nor a server.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lafi.events import (
    EVENT_ADAPTER,
    Accepted,
    Event,
    Failed,
    Finished,
    PanelImage,
    Portrait,
    Progress,
)
from lafi.image_file import ImageFileError, read_header
from lafi.limits import MAX_CHARACTERS, MAX_FILE_BYTES
from lafi.model_info import ModelInfo
from lafi.storyboard import Storyboard
from lafi.storyboard_error import Said, StoryboardError, problem, storyboard_error
from lafi.storyboard_file import decode_utf8, parse_json

__all__ = [
    "Accepted",
    "Event",
    "Failed",
    "Finished",
    "ModelSpec",
    "PanelImage",
    "Portrait",
    "Progress",
    "StoryboardError",
    "TensorSpec",
    "denoiser_spec",
    "event_from_tensors",
    "event_to_tensors",
    "served_models",
    "storyboard_from_tensors",
    "storyboard_spec",
    "storyboard_to_tensors",
    "text_encoder_spec",
    "vae_decoder_spec",
    "vae_encoder_spec",
]

Tensors = dict[str, npt.NDArray[Any]]

STORYBOARD, REFERENCES, EVENT, IMAGE = "STORYBOARD", "REFERENCES", "EVENT", "IMAGE"
ANY = -1
"""A dimension that may have any size."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: `dtype` in KServe's words (BYTES, FP32, INT32, INT64), `shape` without batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One served model. `max_batch_size` 0: shapes are whole, Triton Server does not batch."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    decoupled: bool = False
    dynamic_batching: bool = False


def storyboard_spec() -> ModelSpec:
    """A storyboard in, a stream of events out."""
    return ModelSpec(
        name="storyboard",
        inputs=(TensorSpec(STORYBOARD, "BYTES", (1,)), TensorSpec(REFERENCES, "BYTES", (ANY,))),
        outputs=(TensorSpec(EVENT, "BYTES", (1,)), TensorSpec(IMAGE, "BYTES", (1,))),
        decoupled=True,
    )


def _batched(name: str, given: TensorSpec, made: TensorSpec, max_batch_size: int) -> ModelSpec:
    return ModelSpec(name, (given,), (made,), max_batch_size, dynamic_batching=True)


def text_encoder_spec(model: ModelInfo, max_batch_size: int = 16) -> ModelSpec:
    """TOKEN_IDS INT64 (T) -> TEXT FP32 (T, D)."""
    return _batched(
        "text_encoder",
        TensorSpec("TOKEN_IDS", "INT64", (model.text_length,)),
        TensorSpec("TEXT", "FP32", (model.text_length, model.text_width)),
        max_batch_size,
    )


def vae_encoder_spec(model: ModelInfo, max_batch_size: int = 8) -> ModelSpec:
    """IMAGE FP32 (3, H, W) in [-1, 1] -> LATENT FP32 (C, h, w), the scaled mean."""
    return _batched(
        "vae_encoder",
        TensorSpec(IMAGE, "FP32", (3, ANY, ANY)),
        TensorSpec("LATENT", "FP32", (model.latent_channels, ANY, ANY)),
        max_batch_size,
    )


def vae_decoder_spec(model: ModelInfo, max_batch_size: int = 8) -> ModelSpec:
    """LATENT FP32 (C, h, w), scaled -> IMAGE FP32 (3, H, W) in [-1, 1]."""
    return _batched(
        "vae_decoder",
        TensorSpec("LATENT", "FP32", (model.latent_channels, ANY, ANY)),
        TensorSpec(IMAGE, "FP32", (3, ANY, ANY)),
        max_batch_size,
    )


def denoiser_spec(model: ModelInfo) -> ModelSpec:
    """The denoiser engine's own inputs, batch included, since `routes` (L, B, R) starts with L."""
    channels = model.latent_channels
    return ModelSpec(
        name="denoiser",
        inputs=(
            TensorSpec("latents", "FP32", (ANY, channels, ANY, ANY)),
            TensorSpec("timesteps", "FP32", (ANY,)),
            TensorSpec("text", "FP32", (ANY, model.text_length, model.text_width)),
            TensorSpec("routes", "INT32", (len(model.layers), ANY, ANY)),
            TensorSpec("bias", "FP32", (ANY, ANY)),
            TensorSpec("mask", "FP32", (ANY, ANY, ANY)),
            TensorSpec("region", "FP32", (ANY, ANY, ANY, ANY)),
        ),
        outputs=(TensorSpec("noise_pred", "FP32", (ANY, channels, ANY, ANY)),),
    )


def served_models(model: ModelInfo, *, with_denoiser: bool = False) -> tuple[ModelSpec, ...]:
    """The specs of all served models; the denoiser as a model of its own is optional."""
    specs = (
        storyboard_spec(),
        text_encoder_spec(model),
        vae_encoder_spec(model),
        vae_decoder_spec(model),
    )
    return (*specs, denoiser_spec(model)) if with_denoiser else specs


def bytes_tensor(*elements: bytes) -> npt.NDArray[np.object_]:
    """A BYTES tensor of shape (n,)."""
    tensor = np.empty(len(elements), dtype=object)
    tensor[:] = elements
    return tensor


def storyboard_to_tensors(storyboard: Storyboard) -> Tensors:
    """STORYBOARD (1,) and REFERENCES (n,): images of the characters that have one, in order."""
    document = storyboard.model_dump(mode="json", exclude={"characters": {"__all__": "reference"}})
    references: list[bytes] = []
    for character, entry in zip(storyboard.characters, document["characters"], strict=True):
        entry["reference"] = None
        if character.reference is not None:
            entry["reference"] = len(references)
            references.append(character.reference.data)
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return {
        STORYBOARD: bytes_tensor(text.encode()),
        REFERENCES: bytes_tensor(*(references or [b""])),
    }


def storyboard_from_tensors(
    storyboard: npt.NDArray[Any], references: npt.NDArray[Any]
) -> Storyboard:
    """The storyboard in STORYBOARD and REFERENCES. Raises `StoryboardError`."""
    document = _json(STORYBOARD, storyboard)
    images = _elements(REFERENCES, references, MAX_CHARACTERS)
    _put_references(document, [] if images == [b""] else images)
    return Storyboard.model_validate(document)


def _put_references(document: Any, images: list[bytes]) -> None:
    """Replace the number in each character's `reference` by the image it stands for."""
    characters = document.get("characters") if isinstance(document, dict) else None
    used: set[int] = set()
    for index, entry in enumerate(characters if isinstance(characters, list) else []):
        number = entry.get("reference") if isinstance(entry, dict) else None
        if number is None:
            continue
        if type(number) is not int or not 0 <= number < len(images):
            allowed = f"a place in REFERENCES, which has {len(images)}, or null"
            raise StoryboardError([problem(f"characters[{index}].reference", number, allowed)])
        used.add(number)
        entry["reference"] = images[number]
    if len(used) != len(images):
        allowed = f"{len(used)}, those that characters refer to"
        raise StoryboardError([problem(REFERENCES, Said(f"{len(images)} images"), allowed)])


def event_to_tensors(event: Event) -> Tensors:
    """EVENT (1,), JSON, and IMAGE (1,), a PNG file or empty."""
    image = event.png if isinstance(event, PanelImage | Portrait) else b""
    return {EVENT: bytes_tensor(event.model_dump_json().encode()), IMAGE: bytes_tensor(image)}


def event_from_tensors(event: npt.NDArray[Any], image: npt.NDArray[Any]) -> Event:
    """The event in EVENT and IMAGE. Raises `StoryboardError`."""
    document = _json(EVENT, event)
    (png,) = _elements(IMAGE, image, 1)
    if not isinstance(document, dict):
        raise StoryboardError([problem(EVENT, document, "a mapping with kind")])
    kind = document.get("kind")
    if kind in ("panel", "portrait"):
        _check_png(png)
        document = {**document, "png": png}
    elif png:
        raise StoryboardError([problem(IMAGE, png, f"empty for an event of kind {kind}")])
    try:
        return EVENT_ADAPTER.validate_python(document)
    except ValidationError as failed:
        raise storyboard_error(PanelImage, failed, document) from None


def _check_png(png: bytes) -> None:
    try:
        header = read_header(png)
    except ImageFileError as refused:
        raise StoryboardError([problem(IMAGE, refused.got, "a PNG image")]) from None
    if header.format != "PNG":
        raise StoryboardError([problem(IMAGE, Said(f"a {header.format} image"), "a PNG image")])


def _json(name: str, tensor: npt.NDArray[Any]) -> Any:
    (raw,) = _elements(name, tensor, 1)
    if len(raw) > MAX_FILE_BYTES:
        raise StoryboardError([problem(name, raw, f"at most {MAX_FILE_BYTES} bytes of JSON")])
    try:
        return parse_json(decode_utf8(raw, name))
    except StoryboardError as error:
        lines = (line if line.startswith(name) else f"{name}: {line}" for line in error.problems)
        raise StoryboardError(lines) from None


def _elements(name: str, tensor: npt.NDArray[Any], most: int) -> list[bytes]:
    """The elements of a BYTES tensor (n,), 1 <= n <= most."""
    array = np.asarray(tensor)
    if array.dtype != object:
        raise StoryboardError([problem(name, Said(f"dtype {array.dtype}"), "BYTES")])
    if array.ndim != 1 or not 1 <= array.size <= most:
        allowed = "shape (1,)" if most == 1 else f"shape (n,), n from 1 to {most}"
        raise StoryboardError([problem(name, Said(f"shape {array.shape}"), allowed)])
    elements = array.tolist()
    for element in elements:
        if not isinstance(element, bytes):
            raise StoryboardError([problem(name, element, "bytes")])
    return elements
