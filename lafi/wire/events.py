"""What the model `storyboard` sends back, in this order.

`accepted`, then in any mixture `portrait`, `progress`, `preview`, `latents`, `panel`, `waiting` and
`failed` for single panels, and at last `finished`, or one `failed` without a panel. A reader
ignores kinds and fields that it does not know, so that a server may be newer than its clients.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from lafi.board.checked_model import CheckedModel

Index = Annotated[int, Field(strict=True, ge=0)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


def _encodable(text: object) -> object:
    """The text of any exception, as valid UTF-8."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


Count = Annotated[int, Field(strict=True, ge=1)]
Cosine = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(_encodable), Field(strict=True)]


class EventModel(CheckedModel):
    """Base of the events: fields that it does not know are left out."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")


class Accepted(EventModel):
    """The storyboard is valid and admitted."""

    kind: Literal["accepted"] = "accepted"
    panels: Index
    portraits: Index
    """How many characters have no reference and are drawn first."""
    notes: tuple[Text, ...] = ()
    """What is drawn otherwise than it was written, one line each: such as a rounded size."""


class Progress(EventModel):
    """Step `step` of the `steps` of one stage is done (1 <= step <= steps)."""

    kind: Literal["progress"] = "progress"
    panel: Index | None = None
    """None: a portrait."""
    character: Text | None = None
    """Whose portrait; None: a panel."""
    step: Index
    steps: Index
    attempt: Count = 1
    """Which drawing of the panel: 2 and more are retries."""
    stage: Count = 1
    stages: Count = 1
    """Which stage of how many, counted from 1."""


class Preview(EventModel):
    """A small picture of a panel at the end of a stage but the last. `png` travels as IMAGE."""

    kind: Literal["preview"] = "preview"
    panel: Index
    stage: Count
    """Which stage has ended, counted from 1."""
    png: bytes = Field(default=b"", exclude=True, repr=False)


class Latents(EventModel):
    """What a stage but the last left, for `resume` of a later storyboard. `data` is in IMAGE."""

    kind: Literal["latents"] = "latents"
    panel: Index
    stage: Count
    """Which stage has ended, counted from 1."""
    data: bytes = Field(default=b"", exclude=True, repr=False)
    """A safetensors file."""


class Waiting(EventModel):
    """Nothing has changed for a while: the server is alive and draws others first."""

    kind: Literal["waiting"] = "waiting"
    pictures: Index
    """Panels or portraits that are not finished, of those that are drawn now."""


class PanelImage(EventModel):
    """A finished panel. `png` is not in the JSON: it travels as IMAGE."""

    kind: Literal["panel"] = "panel"
    panel: Index
    png: bytes = Field(default=b"", exclude=True, repr=False)
    seed: Index
    """Of the drawing that is sent; that of a retry is not the panel's own."""
    prompt: Text
    """With the characters' descriptions put in."""
    address: Text
    """Content address, 64 hexadecimal digits."""
    seconds: Seconds
    scores: dict[Text, Cosine] = Field(default={})
    """By the name of a character in it that has a picture; none on a server without recogniser."""
    attempt: Count = 1
    """Which drawing this is, from 1."""
    attempts: Count = 1
    """How many drawings there were, of which this has the best score."""


class Portrait(EventModel):
    """The reference of a character as it is used, drawn or given. `png` travels as IMAGE."""

    kind: Literal["portrait"] = "portrait"
    character: Text
    png: bytes = Field(default=b"", exclude=True, repr=False)


class Failed(EventModel):
    """One panel failed, or with `panel` None the whole storyboard."""

    kind: Literal["failed"] = "failed"
    panel: Index | None = None
    error: Text
    retryable: bool = Field(strict=True)
    """Whether sending it again may help."""


class Finished(EventModel):
    """The last event."""

    kind: Literal["finished"] = "finished"
    panels: Index
    """How many were sent."""
    seconds: Seconds


Event = (
    Accepted | Progress | Waiting | Preview | Latents | PanelImage | Portrait | Failed | Finished
)

EVENT_OF_KIND: dict[str, type[Event]] = {
    "accepted": Accepted,
    "progress": Progress,
    "waiting": Waiting,
    "preview": Preview,
    "latents": Latents,
    "panel": PanelImage,
    "portrait": Portrait,
    "failed": Failed,
    "finished": Finished,
}
