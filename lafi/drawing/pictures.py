"""Characters' pictures at the sizes at which panels read them: letterboxed, then encoded.

A file is decoded once; each size is encoded once. Knows pixels and encoders, not who
reads what.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from lafi.board import image_file
from lafi.board.letterbox import Pixels, fit
from lafi.board.storyboard import Character
from lafi.conditioning.prompts import MAX_BATCH, TextReading
from lafi.conditioning.reference import Reference, fixed_noise, latent_mask, noise_seed
from lafi.drawing import images
from lafi.ports.engines import EncodedText, Engines

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a character.

    name        the character's, or that of a further reference
    caption     the character's text
    fitted      letterboxed, by size
    content     SHA-256 of what the pixels come from, hexadecimal
    noise_seed  of the one noise with which it is read
    """

    name: str
    caption: str
    fitted: Mapping[Size, images.LetterboxedImage]
    content: str
    noise_seed: int


def given_picture(character: Character, sizes: Iterable[Size]) -> Picture:
    """A character's own reference at these sizes. It must have one."""
    reference = character.reference
    assert reference is not None
    shown, seed = fitted(reference.image(), sizes), noise_seed(reference.sha256)
    return Picture(character.name, character.caption, shown, reference.sha256, seed)


def drawn_picture(character: Character, pixels: Pixels, sizes: Iterable[Size]) -> Picture:
    """A portrait that was drawn, RGB uint8 (H, W, 3): all of it counts.

    Its noise comes from the caption and not from its bytes, which may differ in a last bit with
    the company in which it was drawn.
    """
    image: Any = Image.fromarray(pixels, mode="RGB").convert("RGBA")
    seed = noise_seed(image_file.sha256_hex(b"portrait " + character.caption.encode()))
    content = image_file.sha256_hex(pixels.tobytes())
    return Picture(character.name, character.caption, fitted(image, sizes), content, seed)


def encoded_references(
    pictures: Sequence[Picture],
    size: Size,
    engines: Engines,
    texts: Mapping[str, EncodedText],
    reading: TextReading,
) -> dict[str, Reference]:
    """Pictures of one size as the denoiser reads them, by their names.

    texts: the encoded captions. reading: how they were encoded.
    """
    info = engines.info
    width, height = size
    shape = (info.latent_channels, height // info.vae_scale, width // info.vae_scale)
    references = {}
    for start in range(0, len(pictures), MAX_BATCH):
        batch = pictures[start : start + MAX_BATCH]
        pixels = torch.stack([images.to_tensor(each.fitted[size].pixels) for each in batch])
        rows = torch.unbind(engines.vae_encoder(pixels))
        for picture, latents in zip(batch, rows, strict=True):
            references[picture.name] = Reference(
                content=picture.content,
                caption=picture.caption,
                latents=latents,
                noise=fixed_noise(picture.noise_seed, shape),
                mask=latent_mask(picture.fitted[size].mask, info.vae_scale),
                text=texts[picture.caption],
                reading=reading,
            )
    return references


def fitted(image: Image.Image, sizes: Iterable[Size]) -> dict[Size, images.LetterboxedImage]:
    """An RGBA image letterboxed at each size."""
    return {size: images.letterboxed(fit(image, *size)) for size in sizes}
