"""`TextStack`: the tokenizers and text encoders of a model, without their weights.

A family names its text stack. What the stack does with torch is
`lafi.engine.torch.text_stack.TorchTextStack`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lafi.model.config_problems import Config
from lafi.model.input_port import Axis

if TYPE_CHECKING:
    from lafi.model.info import ModelInfo


class TextOutput(NamedTuple):
    """An output of the text encoders: the denoiser's input that it fills, and its shape.

    shape: for one text; the axis `tokens` where texts may have different lengths.
    """

    port: str
    shape: tuple[Axis | int, ...]


class WordSpan(NamedTuple):
    """Letters [start, stop) of a text are words that act in the panel's region `slot` only."""

    start: int
    stop: int
    slot: int


class TextSize(NamedTuple):
    """Tokens of a text, without those that begin, end and pad it, and the windows they fill.

    partly: what of it an encoder does not read although another does, in words; "" for nothing.
    """

    tokens: int
    windows: int
    partly: str = ""


class PromptReader(Protocol):
    """The tokenizers of one model: texts become what its text encoder takes.

    A text that is longer than the encoder takes has several windows, encoded each by itself.
    """

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """(N, ...), the windows of all texts one after another, each shaped as `TextStack.ids`.

        Raises ValueError for a text that is too long; `unread` gives what is too much.
        """

    def size(self, text: str) -> TextSize:
        """How long a text is; one window or more."""

    def unread(self, text: str) -> str:
        """The end of a text that is too long for the model; "" if all of it is read."""

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        """(T,): for each token of the encoded text, all windows, the slot of its span, or -1."""


class TextStack(Protocol):
    """How prompts become inputs of the denoiser. A new one is a file for each side, no more."""

    @property
    def encoders(self) -> tuple[str, ...]:
        """The parts of a checkpoint with its weights, in order; a pipeline may lack the last."""

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The parts of a checkpoint with its tokenizers; they have neither config nor weights."""

    @property
    def windows(self) -> int:
        """The most windows of a text, for models that are exported now; 1: texts have but one.

        Of a longer text nothing is cut: it is refused.
        """

    @property
    def skips_layers(self) -> bool:
        """Whether its encoders have layers that a prompt's encoding may skip (`clip_skip`)."""

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        """One line for each value of a checkpoint's configs that does not fit its tokenizers."""

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        """Facts of `ModelInfo` on texts.

        `text_length` (the most tokens), `text_width`, `most_clip_skip` and others.
        """

    def tokenizers_of(self, info: "ModelInfo") -> tuple[str, ...]:
        """Those of `tokenizers` that this model has."""

    def ids(self, info: "ModelInfo") -> tuple[Axis | int, ...]:
        """The shape of the text encoder's input for one text, int64."""

    def vocabularies(self, folder: Path, info: "ModelInfo") -> tuple[int, ...]:
        """Numbers of token ids: one for each entry of the first axis of `ids`, or one for all.

        folder: with the tokenizers.
        """

    def outputs(self, info: "ModelInfo") -> tuple[TextOutput, ...]:
        """The outputs of the text encoder in order; one fills the input `text`."""

    def reader(self, folder: Path, info: "ModelInfo") -> PromptReader:
        """The tokenizers in `folder`, loaded."""
