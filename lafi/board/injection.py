"""`Injection`: how panels read references."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from lafi.board.checked_model import CheckedModel
from lafi.board.limits import MAX_LAYER, Allowed, Fraction, Strength

DEFAULT_LAYERS: Final = "default"
"""The preset that each model calls its own default."""
LayerPreset = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""Which presets there are, the model says."""
Branches = Literal["both", "conditional"]
Words = Literal["region", "everywhere"]
Layer = Annotated[int, Field(strict=True, ge=0, le=MAX_LAYER)]
Layers = Annotated[
    LayerPreset | Layer | tuple[Layer, ...],
    Allowed("default, none, all, another preset of the model, a layer index, or a list of them"),
]
"""A preset; an index, for that layer and all later ones; or a list of layers."""


class Injection(CheckedModel):
    """How panels read references: in which layers and steps, how strongly, in which rows.

    The defaults were chosen by `make evaluate` on the bundled model.
    """

    layers: Layers = DEFAULT_LAYERS
    """The self-attention layers, in forward order, that read references."""
    start: Fraction = 0.0
    end: Fraction = 0.8
    """Step i of N of a stage injects if start <= i / N < end."""
    strength: Strength = 1.0
    """Added to the logits of a reference's tokens."""
    branches: Annotated[Branches, Allowed("both, conditional")] = "both"
    """Which of the two rows of guidance read the reference."""
    reference_noise: Annotated[Literal["panel"] | Fraction, Allowed("panel, or 0 to 1")] = 0.1
    """Noise of the reference: the panel's timestep, or a fixed fraction of the training steps."""
    words: Annotated[Words, Allowed("region, everywhere")] = "region"
    """Where the words of a `{name}` act: only in the character's region (if any), or everywhere."""

    @classmethod
    def as_published(cls, **changes: Any) -> "Injection":
        """The method as published: no bias, the reference at the panel's own timestep."""
        return cls(**{"strength": 0.0, "reference_noise": "panel"} | changes)
