"""`Family`: what one kind of denoiser is, as far as can be known without loading it.

What a family does with torch, install and predict, is `lafi.engine.torch.family.TorchFamily`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import InputPort

Config = Mapping[str, Any]
GuidanceKind = Literal["rows", "embedded", "none"]
"""How guidance reaches the denoiser: a second row, a number (port `guidance`), or not at all."""


class TextOutput(NamedTuple):
    """One output of a family's text encoders: the port that it fills, and its shape of one text."""

    port: str
    shape: tuple[int, ...]


class Family(Protocol):
    """One kind of denoiser. A new one is a file and a line in the registry."""

    @property
    def name(self) -> str:
        """As in `ModelInfo.family`."""

    @property
    def guidance(self) -> GuidanceKind:
        """How it is guided."""

    @property
    def parts(self) -> Mapping[str, Mapping[str, tuple[str, ...] | None]]:
        """Class of a diffusers pipeline -> its parts, each with the classes that it may have.

        None stands for any class.
        """

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        """One line for each value of a checkpoint's configs that does not fit the others."""

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        """Fields of the checkpoint's `ModelInfo` that only its family knows."""

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """Every input of the denoiser but the bank's, in the order of the exported graph."""

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> Mapping[str, tuple[float, ...]]:
        """What every row of a picture of (width, height) pixels is told beside text and time."""

    def text_outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        """What its text encoders give for one text; the first fills the port `text`."""

    def presets(self, layers: Sequence[AttentionSite]) -> Mapping[str, tuple[int, ...]]:
        """Name of a preset of injection -> the layers that it stands for, ascending.

        A preset that these layers do not have is left out.
        """
