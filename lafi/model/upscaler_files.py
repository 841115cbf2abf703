"""The files of upscalers, networks that enlarge pictures, and their facts, read without loading.

<exported folder>/upscaler/x4/network.json, network.onnx, parity.json, parity.md
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lafi.model.artifacts import ArtifactsError
from lafi.model.info import ModelInfo

UPSCALER: Final = "upscaler"
"""The folder of all networks in an exported model, with a folder for each factor."""
NETWORK: Final = "network.onnx"
INFO: Final = "network.json"
PUT_IN: Final = "lafi export-upscaler SOURCE --out REPO"
"""The command that gives a repository an upscaler."""


class UpscalerNetwork(BaseModel):
    """Facts of one network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    factor: int = Field(ge=2, le=4)
    """How many times as wide and as high its output is."""
    reach: int = Field(ge=0)
    """How far, in pixels of its input, a pixel may lie and still change an output pixel."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of its ONNX file."""
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file that its weights were read from."""
    added: bool = True
    """Whether `lafi export-upscaler` put it into its repository; else it came with the model."""


class UpscalerInfo(BaseModel):
    """The networks of one exported model, at most one for each factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    networks: tuple[UpscalerNetwork, ...]

    def network(self, factor: int) -> UpscalerNetwork | None:
        """What enlarges by `factor`: a network of that factor, else the largest above it."""
        able = sorted((n for n in self.networks if n.factor >= factor), key=lambda n: n.factor)
        if not able:
            return None
        return able[0] if able[0].factor == factor else able[-1]

    def factors(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """Those of the wanted factors by which something here enlarges."""
        return tuple(factor for factor in wanted if self.network(factor) is not None)


def network_folder(upscaler: Path, factor: int) -> Path:
    """The folder of the network of that factor."""
    return Path(upscaler) / f"x{factor}"


def upscaler_folder(artifacts: Path, info: ModelInfo) -> Path:
    """Where an exported model has its networks; variants use those of the model itself."""
    return (Path(artifacts).parent.parent if info.variant else Path(artifacts)) / UPSCALER


def read_upscaler_info(upscaler: Path) -> UpscalerInfo | None:
    """The facts of all networks in a folder, by factor; None if there is none.

    Raises ArtifactsError for a `network.json` that is damaged or lies in another's folder.
    """
    found = []
    for path in sorted(Path(upscaler).glob(f"x*/{INFO}")):
        try:
            network = UpscalerNetwork.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactsError(f"{path}: {error}; run `{PUT_IN}` again") from error
        if path.parent != network_folder(upscaler, network.factor):
            allowed = network_folder(upscaler, network.factor).name
            raise ArtifactsError(
                f"{path}: factor: got {network.factor} in {path.parent.name}, allowed in {allowed}"
            )
        found.append(network)
    return UpscalerInfo(networks=tuple(found)) if found else None
