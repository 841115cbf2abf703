"""`FurtherReference`: one more picture of a character, which a panel reads beside its reference."""

from typing import Any, Final

from PIL import Image
from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.image_file import ALLOWED, sha256_hex
from lafi.board.limits import NAME_ALLOWED, Name, Region
from lafi.board.reference_image import ReferenceImage

MAX_FURTHER_REFERENCES: Final = 4


class FurtherReference(CheckedModel):
    """A picture of a character of the panel, such as from behind, or in an earlier panel.

    It is read as the character's own reference is: in its region, in the same layers and steps.
    """

    character: Name = Field(description=f"{NAME_ALLOWED}: one of the panel's characters")
    image: ReferenceImage = Field(description=f"{ALLOWED} of the character")
    part: Region | None = None
    """Where in the picture the character is; what lies outside is transparent. Default: all."""

    @property
    def content(self) -> str:
        """64 hexadecimal digits for the picture and its part; the file's SHA-256 without a part."""
        whole = self.image.sha256
        return whole if self.part is None else sha256_hex(f"{whole} {[*self.part]}".encode())

    def shown(self) -> Image.Image:
        """RGBA, upright: the picture, transparent outside of its part. Not to be changed."""
        image = self.image.image()
        if self.part is None:
            return image
        sides = (image.width, image.height, image.width, image.height)
        left, top, right, bottom = (
            round(share * side) for share, side in zip(self.part, sides, strict=True)
        )
        # At least one pixel, however thin the part is and wherever it lies.
        left, top = min(left, image.width - 1), min(top, image.height - 1)
        box = (left, top, max(right, left + 1), max(bottom, top + 1))
        shown = Image.new("RGBA", image.size, (0, 0, 0, 0))
        shown.paste(image.crop(box), box[:2])
        return shown

    def described(self) -> dict[str, Any]:
        """All fields as plain data, with the picture's SHA-256 in place of its bytes."""
        plain: dict[str, Any] = self.model_dump(mode="json", exclude={"image"})
        return plain | {"image": self.image.sha256}
