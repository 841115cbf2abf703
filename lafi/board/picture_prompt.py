"""`PicturePrompt`: a picture that says beside the words of a panel what is to be seen."""

from typing import Any, Final

from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.image_file import ALLOWED
from lafi.board.limits import NAME_ALLOWED, Fraction, Name, Region, Strength
from lafi.board.reference_image import ReferenceImage

MAX_PICTURE_PROMPTS: Final = 3


class PicturePrompt(CheckedModel):
    """A picture, or a character's, how strongly it acts, in which steps, and where.

    IP-Adapter (arXiv:2308.06721).
    """

    image: ReferenceImage | None = Field(
        default=None, description=f"{ALLOWED} of what is to be seen, or of its style"
    )
    character: Name | None = Field(
        default=None, description=f"{NAME_ALLOWED}: one of the storyboard's characters"
    )
    """In place of a picture: the reference of this character, or its portrait if it has none.

    The character need not be in the panel.
    """
    strength: Strength = 1.0
    """By which what it adds in cross-attention is multiplied: diffusers' `set_ip_adapter_scale`."""
    start: Fraction = 0.0
    end: Fraction = 1.0
    """Step i of N of each stage has it if start <= i / N and (i + 1) / N <= end."""
    region: Region | None = None
    """Where it acts; default: in the whole panel."""

    def described(self) -> dict[str, Any]:
        """All fields as plain data, with a picture's SHA-256 in place of its bytes."""
        plain: dict[str, Any] = self.model_dump(mode="json", exclude={"image"})
        return plain | {"image": None if self.image is None else self.image.sha256}
