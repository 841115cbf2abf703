"""`ReferenceImage`: an image file inside a storyboard."""

import base64
import binascii
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from lafi.board import image_file
from lafi.board.checked_model import CheckedModel
from lafi.board.error import not_allowed


class ReferenceImage(CheckedModel):
    """A PNG, JPEG or WebP file of 8 to 4096 pixels a side and at most 16 MiB; alpha = foreground.

    A still image, whole and decodable; the sides are read from its header before it is decoded.
    In JSON its bytes are base64.
    """

    data: bytes = Field(description="the bytes of a PNG, JPEG or WebP file", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _from_bytes(cls, given: Any) -> Any:
        return {"data": given} if isinstance(given, bytes) else given

    @field_validator("data", mode="before")
    @classmethod
    def _check(cls, given: Any) -> bytes:
        data = _from_base64(given) if isinstance(given, str) else given
        if not isinstance(data, bytes):
            raise not_allowed("the bytes of a PNG, JPEG or WebP file")
        try:
            image_file.check_reference(data)
        except image_file.ImageFileError as refused:
            raise not_allowed(refused.allowed, refused.got) from refused
        return data

    @cached_property
    def sha256(self) -> str:
        """64 hexadecimal digits, of the file's bytes."""
        return image_file.sha256_hex(self.data)

    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGBA uint8 (H, W, 4), upright; alpha is 255 if the file has none."""
        return image_file.rgba_pixels(self.data)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise not_allowed("an image file as base64") from error
