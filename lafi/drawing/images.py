"""Pictures in and out: reference files to tensors, tensors to PNG files with their settings.

Knows pixels, not latents and not storyboards.
"""

import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lafi.board import image_file
from lafi.board.letterbox import Letterboxed, fit
from lafi.board.letterbox import Pixels as Pixels

PNG_SETTINGS_KEY = "lafi"
"""Name of the iTXt chunk that holds the settings as JSON."""
_PNG_HEADER = 8 + 12 + 13
"""Bytes of a PNG file before its second chunk: the signature and IHDR."""


@dataclass(frozen=True, slots=True)
class LetterboxedImage:
    """A picture fitted into a panel.

    pixels  RGB uint8 (H, W, 3), alpha composited on mid-grey, padding mid-grey
    mask    (H, W) float32 in [0, 1], the foreground: alpha, 0 in the padding
    """

    pixels: Pixels
    mask: Tensor


def letterbox(data: bytes, width: int, height: int) -> LetterboxedImage:
    """Fit an image file into width x height pixels, whole, centred, its proportions kept.

    Raises `image_file.ImageFileError` where it cannot be decoded.
    """
    return letterboxed(fit(image_file.decode(data), width, height))


def letterboxed(fitted: Letterboxed) -> LetterboxedImage:
    """A fitted picture with its alpha as a mask."""
    alpha = torch.from_numpy(fitted.alpha.astype(np.float32) / 255.0)
    return LetterboxedImage(fitted.pixels, alpha)


def to_tensor(pixels: Pixels) -> Tensor:
    """RGB uint8 (H, W, 3) -> (3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1).contiguous()


def to_pixels(image: Tensor) -> Pixels:
    """(3, H, W) in [-1, 1], clipped -> RGB uint8 (H, W, 3)."""
    unit = (image.float() / 2 + 0.5).clamp(0, 1)
    pixels: Pixels = (unit.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return pixels


def encode_png(pixels: Pixels, settings: Mapping[str, Any] | None = None) -> bytes:
    """RGB uint8 (H, W, 3) -> a PNG file, with `settings` as JSON in an iTXt chunk.

    The same pixels and settings give the same bytes.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode="RGB").save(buffer, format="PNG")
    return with_settings(buffer.getvalue(), settings) if settings is not None else buffer.getvalue()


def with_settings(png: bytes, settings: Mapping[str, Any]) -> bytes:
    """A PNG file of ours without text, with `settings` as JSON in an iTXt chunk after its header.

    The pixels are not packed again (PNG, third edition, 11.3.3.4).
    """
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True).encode()
    body = b"iTXt" + PNG_SETTINGS_KEY.encode() + b"\0\0\0\0\0" + text
    length, check = len(body) - 4, zlib.crc32(body)
    chunk = length.to_bytes(4, "big") + body + check.to_bytes(4, "big")
    return png[:_PNG_HEADER] + chunk + png[_PNG_HEADER:]
