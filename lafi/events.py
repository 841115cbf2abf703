"""What the model `storyboard` sends back, in this order.

`accepted`, then in any mixture `portrait`, `progress`, `panel` and `failed` for single panels,
and at last `finished`, or one `failed` without a panel.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from lafi.checked_model import CheckedModel

Index = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Accepted(CheckedModel):
    """The storyboard is valid and admitted."""

    kind: Literal["accepted"] = "accepted"
    panels: Index
    portraits: Index
    """How many characters have no reference and are drawn first."""


class Progress(CheckedModel):
    """Step `step` of `steps` is done (1 <= step <= steps)."""

    kind: Literal["progress"] = "progress"
    panel: Index | None = None
    """None: a portrait."""
    character: str | None = None
    """Whose portrait; None: a panel."""
    step: Index
    steps: Index


class PanelImage(CheckedModel):
    """A finished panel. `png` is not in the JSON: it travels as IMAGE."""

    kind: Literal["panel"] = "panel"
    panel: Index
    png: bytes = Field(default=b"", exclude=True, repr=False)
    seed: int
    prompt: str
    """With the characters' descriptions put in."""
    address: str
    """Content address, 64 hexadecimal digits."""
    seconds: Seconds


class Portrait(CheckedModel):
    """The reference of a character as it is used, drawn or given. `png` travels as IMAGE."""

    kind: Literal["portrait"] = "portrait"
    character: str
    png: bytes = Field(default=b"", exclude=True, repr=False)


class Failed(CheckedModel):
    """One panel failed, or with `panel` None the whole storyboard."""

    kind: Literal["failed"] = "failed"
    panel: Index | None = None
    error: str
    retryable: bool
    """Whether sending it again may help."""


class Finished(CheckedModel):
    """The last event."""

    kind: Literal["finished"] = "finished"
    panels: Index
    """How many were sent."""
    seconds: Seconds


Event = Annotated[
    Accepted | Progress | PanelImage | Portrait | Failed | Finished, Field(discriminator="kind")
]
EVENT_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates and describes any of the events."""
