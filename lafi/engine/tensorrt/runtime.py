"""TensorRT as `lafi.ports.runtime.Runtime`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lafi.engine.tensorrt import engines
from lafi.engine.tensorrt.engines import ENGINE, PLANS, RTX_ENGINE
from lafi.model.artifacts import DENOISER, TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from lafi.model.engine_metadata import load_engine_metadata
from lafi.model.info import ModelInfo
from lafi.ports.control import ControlAdapter, ControlNetwork
from lafi.ports.engines import Denoiser, ReferenceReader
from lafi.ports.picture_encoder import PictureEncoder


@dataclass(frozen=True, slots=True)
class TensorRT:
    """`lafi.ports.runtime.Runtime` on plans, which `lafi export --target tensorrt` builds, or
    `--target tensorrt-rtx`: each plan says whose it is.

    Precision is the plans' own, and threads mean nothing. What is loaded raises as
    `lafi.engine.tensorrt.engines.load_tensorrt_engines`.
    """

    name: str = ENGINE
    serves_variants: bool = False
    """Plans are built for the model alone."""
    state: Path | None = None
    """Where compiled kernels are kept if the plans' folder cannot be written to."""

    def keeping(self, state: Path) -> "TensorRT":
        """`lafi.ports.runtime.KeepsFiles`."""
        return replace(self, state=state)

    def model_info(self, artifacts: Path, precision: str) -> ModelInfo:
        """Raises EngineMetadataError where there is no denoiser's plan."""
        return engines.tensorrt_model_info(artifacts)

    def load_denoiser(self, artifacts: Path, precision: str, threads: int) -> Denoiser:
        """On the GPU of this machine; raises GpuMissing where it has none."""
        return engines.load_denoiser(artifacts, self.state)

    def load_reference_reader(
        self, artifacts: Path, precision: str, threads: int
    ) -> ReferenceReader:
        """Its plan is checked now and opened with the first call."""
        return engines.load_reference_reader(artifacts, self.state)

    def load_controls(
        self, artifacts: Path, precision: str, threads: int
    ) -> Mapping[str, ControlNetwork]:
        """None: no plans are built of control networks."""
        return {}

    def load_control_adapters(self, artifacts: Path, threads: int) -> Mapping[str, ControlAdapter]:
        """None: no plans are built of control adapters."""
        return {}

    def load_picture_encoder(self, artifacts: Path, threads: int) -> PictureEncoder | None:
        """None: no plan is built of an image encoder."""
        return None

    def served_rows(self, artifacts: Path) -> Mapping[str, int]:
        """Rows that the plans of the text encoder and the VAEs were built for."""
        profiles = {
            name: load_engine_metadata(Path(artifacts) / PLANS[name]).profile
            for name in (TEXT_ENCODER, VAE_ENCODER, VAE_DECODER)
        }
        return {
            name: min(shapes.largest[0] for shapes in profile.values())
            for name, profile in profiles.items()
        }

    def row_counts(self, artifacts: Path) -> tuple[int, ...]:
        """Numbers of rows to which a call is padded."""
        return engines.denoiser_row_counts(load_engine_metadata(Path(artifacts) / PLANS[DENOISER]))


TENSORRT_RUNTIMES: Final = (TensorRT(), TensorRT(RTX_ENGINE))
