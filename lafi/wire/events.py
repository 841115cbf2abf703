"""The events that the model `storyboard` sends.

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
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Cosine = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False)]
Text = Annotated[str, BeforeValidator(_encodable), Field(strict=True)]


class EventModel(CheckedModel):
    """Base of the events: ignores unknown fields."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")


class PromptTokens(EventModel):
    """How long a text of the storyboard is for the text encoder."""

    field: Text
    """Where it stands, such as `panels[0].prompt`."""
    tokens: Index
    """Without those that begin, end and pad a window."""
    windows: Count = 1
    """How many windows it fills."""
    window: Count
    """The most tokens of a window, with those that begin and end it."""


class Accepted(EventModel):
    """The storyboard is valid and admitted."""

    kind: Literal["accepted"] = "accepted"
    panels: Index
    portraits: Index
    """Number of characters without a reference, whose portraits are drawn first."""
    id: Text = ""
    """32 hexadecimal digits, most of them random: who has it may attach to it, or cancel it."""
    notes: tuple[Text, ...] = ()
    """One line for each thing drawn differently than written, such as a rounded size."""
    tokens: tuple[PromptTokens, ...] = ()
    """Of every prompt, negative prompt and description that is read and not empty."""
    keeps_pictures: bool = False
    """Whether its pictures may be named from now on instead of sent; WIRE.md says how."""


class Progress(EventModel):
    """Step `step` of the `steps` of one stage is done (1 <= step <= steps)."""

    kind: Literal["progress"] = "progress"
    panel: Index | None = None
    """None for a portrait."""
    character: Text | None = None
    """The character of a portrait; None for a panel."""
    step: Index
    steps: Index
    attempt: Count = 1
    """Number of this drawing of the panel; 2 and more are retries."""
    stage: Count = 1
    stages: Count = 1
    """The stage, counted from 1, and the number of stages."""


class Preview(EventModel):
    """A small picture of a panel after each stage but the last. `png` is sent as IMAGE."""

    kind: Literal["preview"] = "preview"
    panel: Index
    stage: Count
    """The finished stage, counted from 1."""
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
    """Sent when nothing changed for a while: others are drawn first, or a panel is enlarged."""

    kind: Literal["waiting"] = "waiting"
    pictures: Index
    """Panels or portraits in work that are not finished."""


class PanelImage(EventModel):
    """A finished panel. `png` is not in the JSON but sent as IMAGE."""

    kind: Literal["panel"] = "panel"
    panel: Index
    png: bytes = Field(default=b"", exclude=True, repr=False)
    seed: Index
    """Seed of the sent drawing; after a retry not the panel's own seed."""
    prompt: Text
    """The full prompt, with the characters' descriptions."""
    address: Text
    """Content address, 64 hexadecimal digits."""
    seconds: Seconds
    scores: dict[Text, Cosine] = Field(default={})
    """By name, for each of its characters with a picture; empty without a recogniser."""
    attempt: Count = 1
    """Number of the sent drawing, from 1."""
    attempts: Count = 1
    """Number of drawings; the one with the best score is sent."""
    kept: bool = Field(default=False, strict=True)
    """Whether it was drawn before, for this or another storyboard, and is sent from the store."""
    safety_score: Share | None = None
    """What the server's picture classifier gives it; None: nobody looked at it."""
    flagged: bool = Field(default=False, strict=True)
    """Whether that is as much as the classifier's threshold, or more."""


class Portrait(EventModel):
    """A character's reference in use, drawn or given. `png` is sent as IMAGE."""

    kind: Literal["portrait"] = "portrait"
    character: Text
    png: bytes = Field(default=b"", exclude=True, repr=False)


class Failed(EventModel):
    """A panel failed, or the whole storyboard if `panel` is None."""

    kind: Literal["failed"] = "failed"
    panel: Index | None = None
    error: Text
    retryable: bool = Field(strict=True)
    """Whether another try may succeed."""


class Finished(EventModel):
    """The last event."""

    kind: Literal["finished"] = "finished"
    panels: Index
    """Number of panels that were sent."""
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
