"""`Runtime`: what draws an exported model: what it can do, and how its engines are loaded.

Ask the runtime what an engine can do; do not compare its name.
`lafi.serving.runtimes` finds them, also those of outside packages.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from lafi.model.info import ModelInfo
from lafi.ports.control import ControlAdapter, ControlNetwork
from lafi.ports.engines import Denoiser, ReferenceReader
from lafi.ports.picture_encoder import PictureEncoder


@runtime_checkable
class Runtime(Protocol):
    """Loads from a folder that `lafi export` wrote, or from one of its variants.

    artifacts: the folder. precision: of the denoiser, a word of the runtime's own, such as `f32`;
    one whose files have a precision already may pass it over. threads: CPU threads of an engine,
    0 for all cores. Everything raises ArtifactsError or another ValueError for a missing or changed
    file, ModelInfoError for `lafi.json`, and where this machine cannot run it an error that says
    what it lacks.
    """

    @property
    def name(self) -> str:
        """As `runtime` in a config.pbtxt names it, and as panels say what drew them."""

    @property
    def serves_variants(self) -> bool:
        """Whether it draws a model's variants as well."""

    def model_info(self, artifacts: Path, precision: str) -> ModelInfo:
        """The exported model's facts, naming the engine and the precision that will draw."""

    def load_denoiser(self, artifacts: Path, precision: str, threads: int) -> Denoiser:
        """What predicts noise, in this process."""

    def load_reference_reader(
        self, artifacts: Path, precision: str, threads: int
    ) -> ReferenceReader | None:
        """What fills the denoiser's bank; None for one that reads references as rows only."""

    def load_controls(
        self, artifacts: Path, precision: str, threads: int
    ) -> Mapping[str, ControlNetwork]:
        """The model's control networks by name; empty for a runtime that runs none."""

    def load_control_adapters(self, artifacts: Path, threads: int) -> Mapping[str, ControlAdapter]:
        """The model's control adapters by name; empty for a runtime that runs none."""

    def load_picture_encoder(self, artifacts: Path, threads: int) -> PictureEncoder | None:
        """What sees picture prompts; None where the model takes none, or the runtime runs none."""

    def served_rows(self, artifacts: Path) -> Mapping[str, int]:
        """Rows of one call that a served model takes at most, by its ONNX file.

        One that is missing takes as many as its spec says (`lafi.wire.model_spec`).
        """

    def row_counts(self, artifacts: Path) -> tuple[int, ...]:
        """`lafi.ports.engines.Engines.row_counts` of the denoiser."""


@runtime_checkable
class KeepsFiles(Protocol):
    """A runtime that makes files at its first runs, which the next start need not make again."""

    def keeping(self, state: Path) -> Runtime:
        """The same runtime, which may write below `state`, the repository's folder for that.

        The folder of an export is another one, and may be one that nothing can write to.
        """
