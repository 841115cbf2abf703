"""`Control`: a picture or a pose by which a control network or adapter steers a panel."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from lafi.board.checked_model import CheckedModel
from lafi.board.image_file import ALLOWED
from lafi.board.limits import NAME_PATTERN, Allowed, Fraction, Region, Strength, UnitNumber
from lafi.board.pose import JOINTS, Joint
from lafi.board.reference_image import ReferenceImage

MAX_CONTROLS: Final = 3
MAX_FIGURES: Final = 16
Preparation = Literal["none", "canny"]
ControlName = Annotated[
    str,
    Field(strict=True, pattern=f"^{NAME_PATTERN}$"),
    Allowed("the name of a control network or adapter of the model, such as pose"),
]
JointPlace = Annotated[
    tuple[UnitNumber, UnitNumber],
    Allowed("[x, y], fractions of the panel's width and height, 0 to 1"),
]
Figure = dict[Annotated[Joint, Allowed(", ".join(JOINTS))], JointPlace]


class Control(CheckedModel):
    """What one network or adapter sees, how strongly it steers, in which steps, and where."""

    kind: ControlName = Field(
        description="the name of a control network or adapter of the model, such as pose"
    )
    image: ReferenceImage | None = Field(
        default=None, description=f"{ALLOWED} such as the network was trained on"
    )
    pose: tuple[Figure, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_FIGURES,
        description="a mapping from joints to [x, y], or a list of 1 to 16 of them",
    )
    """In place of a picture: the joints of each figure, drawn as OpenPose's skeleton.

    [x, y] are fractions of the panel from its upper left corner; right and left are the figure's.
    A joint that is left out is not to be seen.
    """
    prepare: Annotated[Preparation, Allowed("none, canny")] = "none"
    """What becomes of the picture first: `canny` draws its edges (thresholds 100 and 200)."""
    strength: Strength = 1.0
    """By which what it adds is multiplied: `controlnet_conditioning_scale` in diffusers, of an
    adapter `adapter_conditioning_scale`."""
    start: Fraction = 0.0
    end: Fraction = 1.0
    """Step i of N of each stage has it if start <= i / N and (i + 1) / N <= end."""
    region: Region | None = None
    """Where it steers; default: in the whole panel."""

    @model_validator(mode="before")
    @classmethod
    def _one_figure(cls, given: Any) -> Any:
        """One figure may stand without a list."""
        if isinstance(given, Mapping) and isinstance(given.get("pose"), Mapping):
            return {**given, "pose": (given["pose"],)}
        return given

    @property
    def sees(self) -> str:
        """What the network sees, as text: kind, picture (its SHA-256) or pose, preparation."""
        shown = self.image.sha256 if self.image is not None else self.pose
        return repr((self.kind, shown, self.prepare))

    def described(self) -> dict[str, Any]:
        """All fields as plain data, with a picture's SHA-256 in place of its bytes."""
        plain: dict[str, Any] = self.model_dump(mode="json", exclude={"image"})
        return plain | {"image": None if self.image is None else self.image.sha256}
