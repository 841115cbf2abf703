"""Finished latents to pixels: those that finished in one denoiser call are decoded in one call.

Knows the decoder of each picture's variant, not what becomes of the pixels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from lafi.board.letterbox import Pixels
from lafi.drawing import images
from lafi.drawing.stage_loop import Done
from lafi.ports.engines import Engines

PIXELS_TOGETHER = 512 * 512
"""Of all pictures of one decoder call. What a decoder holds grows with them, up to gigabytes, and
large pictures fill all cores one by one.
"""


class DrawingError(RuntimeError):
    """The engines gave something that is no picture."""


def decoded(
    finished: Sequence[Done], engines: Mapping[str, Engines]
) -> list[Pixels | DrawingError]:
    """RGB uint8 (H, W, 3) of each, in their order; an error where numbers are not finite.

    engines: by variant.
    """
    made: dict[int, Pixels | DrawingError] = {}
    for places in _calls(finished, engines):
        decoder = engines[finished[places[0]].picture.stage.variant].vae_decoder
        pictures = decoder(torch.stack([finished[place].latents for place in places]))
        for place, picture in zip(places, pictures, strict=True):
            finite = torch.isfinite(finished[place].latents).all() and torch.isfinite(picture).all()
            made[place] = images.to_pixels(picture) if finite else _broken(finished[place])
    return [made[place] for place in range(len(finished))]


def _calls(finished: Sequence[Done], engines: Mapping[str, Engines]) -> Iterable[list[int]]:
    """Places in `finished` of what one call decodes: of one variant and one size."""
    alike: dict[tuple[str, torch.Size], list[int]] = {}
    for place, done in enumerate(finished):
        key = done.picture.stage.variant, done.latents.shape
        alike.setdefault(key, []).append(place)
    for (variant, shape), places in alike.items():
        pixels = math.prod(shape[-2:]) * engines[variant].info.vae_scale ** 2
        most = max(1, PIXELS_TOGETHER // pixels)
        yield from (places[at : at + most] for at in range(0, len(places), most))


def _broken(done: Done) -> DrawingError:
    return DrawingError(
        f"{done.picture.key}: the model gave numbers that are not finite; "
        "allowed: finite ones, as engines in f32 give them"
    )
