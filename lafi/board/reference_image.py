"""`ReferenceImage`: an image file inside a storyboard."""

import base64
import binascii
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, field_validator, model_validator

from lafi.board import image_file
from lafi.board.checked_model import CheckedModel
from lafi.board.error import not_allowed

KEPT_PIXELS: Final = 2**20
"""The most pixels of a decoded picture that is kept, 4 MiB; a small file may hold very many."""


class CheckedFile(bytes):
    """The bytes of an image file whose header is within the limits, and its pixels once decoded."""

    _kept: Image.Image | None = None
    _decode: image_file.DecodePicture

    @classmethod
    def of(cls, data: bytes, decode: image_file.DecodePicture = image_file.decode) -> "CheckedFile":
        """Checks the header unless that was done before. Raises `image_file.ImageFileError`.

        decode: what decodes the pixels; as a server does it, in a process of its own.
        """
        if isinstance(data, cls):
            return data
        image_file.check_header(data)
        made = cls(data)
        made._decode = decode
        return made

    def image(self) -> Image.Image:
        """Upright, RGBA; decoded once, or each time if it has more than KEPT_PIXELS.

        Raises `image_file.ImageFileError`.
        """
        if self._kept is not None:
            return self._kept
        image = self._decode(self)
        if image.width * image.height <= KEPT_PIXELS:
            self._kept = image
        return image

    def __deepcopy__(self, memo: dict[int, Any]) -> "CheckedFile":
        return self

    @cached_property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return image_file.sha256_hex(self)


class ReferenceImage(CheckedModel):
    """A picture's file, of 8 to 4096 pixels a side and at most 16 MiB; alpha = foreground.

    A still PNG, JPEG, WebP, AVIF, GIF or TIFF image, upright and in sRGB once decoded. Only its
    header is checked here; who draws decodes it before any work (`lafi.drawing.check`). In JSON
    its bytes are base64.
    """

    data: bytes = Field(description=f"the bytes of {image_file.FORMAT_NAMES} file", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_bytes(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, bytes) else given

    @field_validator("data", mode="before")
    @classmethod
    def _check(cls, given: Any) -> bytes:
        data = _from_base64(given) if isinstance(given, str) else given
        if not isinstance(data, bytes):
            raise not_allowed(f"the bytes of {image_file.FORMAT_NAMES} file")
        try:
            return CheckedFile.of(data)
        except image_file.ImageFileError as refused:
            raise not_allowed(refused.allowed, refused.got) from refused

    @classmethod
    def of_file(
        cls, data: bytes, decode: image_file.DecodePicture = image_file.decode
    ) -> "ReferenceImage":
        """The picture of a file's bytes. Raises `image_file.ImageFileError`."""
        return cls.model_construct(data=CheckedFile.of(data, decode))

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits, of the file's bytes; computed once."""
        return CheckedFile.of(self.data).sha256

    def image(self) -> Image.Image:
        """Upright, RGBA; not to be changed. Decoded once, or again if it is too large to keep.

        Raises `image_file.ImageFileError` for a file of which only the header is whole.
        """
        return CheckedFile.of(self.data).image()

    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGBA uint8 (H, W, 4), upright; alpha is 255 if the file has none."""
        return np.asarray(self.image(), dtype=np.uint8)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_allowed("an image file as base64") from error
