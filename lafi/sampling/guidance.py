"""`Guidance`: how a panel's predictions with and without its prompt become one.

Knows one panel's predictions, neither its texts nor how a model was trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from lafi.board.stages import SamplingStage
from lafi.model.family import GuidanceKind
from lafi.model.input_port import GUIDANCE_PORT
from lafi.sampling.window import in_window


class Guidance(Protocol):
    """What guidance asks of the denoiser at a step, and what it makes of the answer."""

    def rows(self, step: int, steps: int) -> Literal[1, 2]:
        """Rows of step i of N, from 0: with prompt alone, or without it and with it."""
        ...

    def combine(self, prediction: Tensor) -> Tensor:
        """(rows, C, h, w), without prompt and with it, or the latter alone -> (C, h, w)."""
        ...

    def ports(self) -> Mapping[str, float]:
        """Numbers for the denoiser's inputs, by the input's name."""
        ...


@dataclass(frozen=True, slots=True)
class TwoRows:
    """Classifier-free guidance (arXiv:2207.12598): neg + scale * (pos - neg).

    start, end  step i of N is guided if start <= i / N < end (arXiv:2404.07724)
    rescale     in [0, 1]: how far the result gets the standard deviation of the prediction with
                prompt (arXiv:2305.08891, equations 15 and 16)
    """

    scale: float
    start: float = 0.0
    end: float = 1.0
    rescale: float = 0.0

    def rows(self, step: int, steps: int) -> Literal[1, 2]:
        return 2 if in_window(step, steps, self.start, self.end) else 1

    def combine(self, prediction: Tensor) -> Tensor:
        if len(prediction) == 1:
            return prediction[0]
        without, positive = prediction[0], prediction[1]
        guided = without + self.scale * (positive - without)
        if self.rescale == 0.0:
            return guided
        rescaled = guided * (positive.std() / guided.std())
        return self.rescale * rescaled + (1.0 - self.rescale) * guided

    def ports(self) -> Mapping[str, float]:
        return {}


@dataclass(frozen=True, slots=True)
class Embedded:
    """Guidance that the model was taught (arXiv:2210.03142): it reads the scale, in one row."""

    scale: float

    def rows(self, step: int, steps: int) -> Literal[1, 2]:
        return 1

    def combine(self, prediction: Tensor) -> Tensor:
        return prediction[-1]

    def ports(self) -> Mapping[str, float]:
        return {GUIDANCE_PORT: self.scale}


@dataclass(frozen=True, slots=True)
class NoGuidance:
    """The prediction with prompt as it is."""

    def rows(self, step: int, steps: int) -> Literal[1, 2]:
        return 1

    def combine(self, prediction: Tensor) -> Tensor:
        return prediction[-1]

    def ports(self) -> Mapping[str, float]:
        return {}


def guidance_of(stage: SamplingStage, kind: GuidanceKind) -> Guidance:
    """A stage's guidance in a model of that kind.

    With two rows a scale of 1 or less is none. A model without guidance ignores the scale, which
    has a default. Raises ValueError for a window or a rescale that the model cannot have.
    """
    if kind == "rows":
        if stage.guidance <= 1.0:
            return NoGuidance()
        return TwoRows(
            stage.guidance, stage.guidance_start, stage.guidance_end, stage.guidance_rescale
        )
    for name, void in (("start", 0.0), ("end", 1.0), ("rescale", 0.0)):
        value = getattr(stage, f"guidance_{name}")
        if value != void:
            raise ValueError(
                f"guidance_{name}: got {value:g}, allowed: {void:g} with this model, which draws "
                f"without a row for the negative prompt"
            )
    return Embedded(stage.guidance) if kind == "embedded" else NoGuidance()
