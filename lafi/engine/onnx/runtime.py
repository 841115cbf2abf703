"""ONNX Runtime and OpenVINO as `lafi.ports.runtime.Runtime`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from lafi.engine.onnx.compiled import compiled_folder
from lafi.engine.onnx.control import load_control_adapters, load_controls
from lafi.engine.onnx.engines import load_denoiser, load_reference_reader
from lafi.engine.onnx.graph import RUNTIMES, Precision, RuntimeName, check_runtime, model_info
from lafi.engine.onnx.picture_prompts import load_picture_encoder
from lafi.engine.onnx.runtime_choice import choose_runtime
from lafi.model.info import ModelInfo, load_model_info
from lafi.ports.control import ControlAdapter, ControlNetwork
from lafi.ports.engines import Denoiser, ReferenceReader
from lafi.ports.picture_encoder import PictureEncoder


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """`lafi.ports.runtime.Runtime` that runs the exported ONNX files as they are, on the CPU.

    precision: one of those that `lafi.engine.onnx.graph.check_runtime` allows with it.
    """

    name: RuntimeName
    serves_variants: bool = True
    compiled: Path | None = None
    """Where compiled denoisers are kept; None: compiled at each start."""

    def keeping(self, state: Path) -> "OnnxFiles":
        """`lafi.ports.runtime.KeepsFiles`."""
        return replace(self, compiled=compiled_folder(state))

    def model_info(self, artifacts: Path, precision: str) -> ModelInfo:
        """Raises ArtifactsError for a precision that this machine or the runtime does not have.

        Also where this runtime draws the model's family wrong.
        """
        info = model_info(artifacts, self.name, self._checked(precision))
        choose_runtime(info, self.name)
        return info

    def load_denoiser(self, artifacts: Path, precision: str, threads: int) -> Denoiser:
        """Raises ArtifactsError for a missing or changed file, too."""
        checked = self._checked(precision)
        return load_denoiser(artifacts, self.name, checked, threads, self.compiled)

    def load_reference_reader(
        self, artifacts: Path, precision: str, threads: int
    ) -> ReferenceReader:
        """Its graph is checked now; its weights are read and checked with the first call."""
        checked = self._checked(precision)
        return load_reference_reader(artifacts, self.name, checked, threads, self.compiled)

    def load_controls(
        self, artifacts: Path, precision: str, threads: int
    ) -> Mapping[str, ControlNetwork]:
        """Raises ArtifactsError for a missing or changed file."""
        info, checked = load_model_info(artifacts), self._checked(precision)
        return load_controls(artifacts, info, self.name, checked, threads)

    def load_control_adapters(self, artifacts: Path, threads: int) -> Mapping[str, ControlAdapter]:
        """Raises ArtifactsError for a missing or changed file."""
        return load_control_adapters(artifacts, load_model_info(artifacts), self.name, threads)

    def load_picture_encoder(self, artifacts: Path, threads: int) -> PictureEncoder | None:
        """Raises ArtifactsError for a missing or changed file."""
        return load_picture_encoder(artifacts, load_model_info(artifacts), self.name, threads)

    def served_rows(self, artifacts: Path) -> Mapping[str, int]:
        """None: ONNX files take any number of rows."""
        return {}

    def row_counts(self, artifacts: Path) -> tuple[int, ...]:
        """None: ONNX files take any number of rows."""
        return ()

    def _checked(self, precision: str) -> Precision:
        chosen = cast(Precision, precision)
        check_runtime(self.name, chosen)
        return chosen


ONNX_RUNTIMES: Final = tuple(OnnxFiles(name) for name in RUNTIMES)
