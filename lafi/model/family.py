"""`Family`: the facts about one kind of denoiser that do not need its weights.

Loading it and running it in torch is `lafi.engine.torch.family.TorchFamily`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import InputPort

Config = Mapping[str, Any]
GuidanceKind = Literal["rows", "embedded", "none"]
"""How the denoiser gets guidance: a second row, a number (port `guidance`), or not at all."""


class TextOutput(NamedTuple):
    """An output of a family's text encoders: the port that it fills, and its shape for one text."""

    port: str
    shape: tuple[int, ...]


class Family(Protocol):
    """One kind of denoiser. A new one is a file and a line in the registry."""

    @property
    def name(self) -> str:
        """As in `ModelInfo.family`."""

    @property
    def guidance(self) -> GuidanceKind:
        """How it gets guidance."""

    @property
    def parts(self) -> Mapping[str, Mapping[str, tuple[str, ...] | None]]:
        """Class of a diffusers pipeline -> its parts, each with its allowed classes.

        None allows any class.
        """

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        """One line for each value of a checkpoint's configs that does not fit the others."""

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        """Fields of the checkpoint's `ModelInfo` that depend on the family."""

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """All inputs of the denoiser except the bank's, in the order of the exported graph."""

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> Mapping[str, tuple[float, ...]]:
        """The port values of every row of a picture (width, height), beside text and time."""

    def text_outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """The outputs of its text encoders; the first fills the port `text`."""

    def presets(self, layers: Sequence[AttentionSite]) -> Mapping[str, tuple[int, ...]]:
        """Name of an injection preset -> its layers, ascending.

        Presets that do not exist for these layers are left out.
        """
