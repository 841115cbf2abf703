"""Latents brought to another size, or to another model, between two stages.

Knows latents, not stages.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lafi.board.letterbox import Pixels
from lafi.board.stages import Upscale
from lafi.drawing import images

Decode = Callable[[Tensor], Tensor]
"""(B, C, h, w) latents -> (B, 3, H, W) pictures, and back."""


def resized(
    latents: Tensor, size: tuple[int, int], method: Upscale, decode: Decode, encode: Decode
) -> Tensor:
    """Latents (C, h, w) -> (C, *size); what has that size already stays as it is.

    method: of `torch.nn.functional.interpolate`, or `lanczos`, Pillow's, channel by channel; or
    `pixels`: decoded, resized with Pillow's Lanczos filter, encoded. size: latent height and width.
    """
    if tuple(latents.shape[-2:]) == size:
        return latents
    if method == "pixels":
        pixels = images.to_pixels(decode(latents[None])[0])
        scale = pixels.shape[0] // latents.shape[-2]
        return _encoded(pixels, (size[1] * scale, size[0] * scale), encode)
    if method == "lanczos":
        return torch.stack([_lanczos(channel, size) for channel in latents])
    corners = False if method in ("bilinear", "bicubic") else None
    return F.interpolate(latents[None], size=size, mode=method, align_corners=corners)[0]


def through_pixels(
    latents: Tensor, size: tuple[int, int], decode: Decode, encode: Decode
) -> Tensor:
    """Latents of one model (C, h, w) as those of another, also where they have that size.

    size: width and height in pixels. decode: of the one; encode: of the other.
    """
    return _encoded(images.to_pixels(decode(latents[None])[0]), size, encode)


def _lanczos(channel: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w) float32 -> size."""
    image = Image.fromarray(channel.numpy().astype(np.float32), mode="F")
    resampled = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resampled, dtype=np.float32))


def _encoded(pixels: Pixels, size: tuple[int, int], encode: Decode) -> Tensor:
    """RGB uint8 (H, W, 3), resized to width and height with Pillow's Lanczos filter, encoded."""
    image = Image.fromarray(pixels, mode="RGB")
    resized = image.resize(size, Image.Resampling.LANCZOS)
    return encode(images.to_tensor(np.array(resized, dtype=np.uint8))[None])[0]
