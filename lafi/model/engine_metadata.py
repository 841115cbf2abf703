"""`EngineMetadata`: what a TensorRT plan was built from and for, as JSON beside it.

A plan runs only on the kind of GPU and the TensorRT version that built it. Knows files and
facts, neither TensorRT nor CUDA.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lafi.model.artifacts import file_sha256
from lafi_kernels.tensorrt_module import Builder

SUFFIX: Final = ".json"
"""Appended to the plan's name: `denoiser.plan` has `denoiser.plan.json` beside it."""
_REBUILD: Final = "build it again with: lafi export CHECKPOINT --out REPO --target "
RTX_CAPABILITIES: Final = {
    "SM75": "7.5",
    "SM80": "8.0",
    "SM86": "8.6",
    "SM89": "8.9",
    "SM120": "12.0",
    "SM121": "12.1",
}
"""Compute capabilities that TensorRT-RTX 1.7 builds for, by the names that it gives them."""

Shape = tuple[int, ...]


class EngineMetadataError(ValueError):
    """A plan cannot be used here; the text says what to build again and how."""


@dataclass(frozen=True, slots=True)
class GpuMachine:
    """The machine that a plan is to run on.

    gpu: the device's name; of a plan that was built elsewhere "", for any GPU of its capabilities.
    capability: compute capability such as "9.0"; of such a plan, all that it was built for, with
    spaces between. tensorrt: the builder's version.
    """

    gpu: str
    capability: str
    tensorrt: str
    builder: Builder = "tensorrt"


class ShapeRange(BaseModel):
    """Allowed shapes of one input, with batch: smallest, the one tuned for, largest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smallest: Shape
    tuned: Shape
    largest: Shape

    def allows(self, shape: Shape) -> bool:
        """Whether an input may have this shape."""
        return len(shape) == len(self.smallest) and all(
            low <= size <= high
            for low, size, high in zip(self.smallest, shape, self.largest, strict=True)
        )


class EngineMetadata(BaseModel):
    """All facts that decide whether a plan may be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: str
    """The file it describes."""
    plan_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    onnx_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of the exported ONNX file in `lafi.json`, before its conversion."""
    weights_sha256: str
    """Hash of the checkpoint in `lafi.json`."""
    builder: Builder = "tensorrt"
    gpu: str
    """This and the next two: as in `GpuMachine`."""
    capability: str
    tensorrt: str
    precision: str
    profile: dict[str, ShapeRange]
    """By input name."""
    attention_plugins: int = Field(ge=0)
    """Layers that run the fused kernel; 0 if the plan uses the function's body instead."""
    refittable: bool = False
    stripped: bool = False
    """The plan holds no weights; they must be refitted before it runs."""

    def save(self, folder: Path) -> Path:
        """Write the JSON beside the plan and return its path."""
        path = metadata_path(Path(folder) / self.plan)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path

    def check_machine(self, here: GpuMachine) -> None:
        """Raises EngineMetadataError, which names each fact in which this machine differs."""
        built = {"builder": self.builder, "tensorrt": self.tensorrt}
        found = {"builder": here.builder, "tensorrt": here.tensorrt}
        if self.gpu:
            built["gpu"], found["gpu"] = self.gpu, here.gpu
        built_for = self.capability.split()
        if here.capability not in built_for:
            built["capability"], found["capability"] = " or ".join(built_for), here.capability
            built_for.append(here.capability)
        self._check(built, found, rebuild(self.builder, *built_for))

    def check_sources(self, onnx_sha256: str, weights_sha256: str) -> None:
        """Raises EngineMetadataError if the plan was made from another export or checkpoint."""
        built = {"onnx_sha256": self.onnx_sha256, "weights_sha256": self.weights_sha256}
        self._check(built, {"onnx_sha256": onnx_sha256, "weights_sha256": weights_sha256})

    def check_shapes(self, shapes: Mapping[str, Shape]) -> None:
        """Raises ValueError for an input whose shape lies outside the profile."""
        for name, shape in shapes.items():
            allowed = self.profile[name]
            if not allowed.allows(shape):
                raise ValueError(
                    f"{name}: got shape {shape}, allowed {allowed.smallest} to {allowed.largest} "
                    f"in {self.plan}; {self.advice}"
                )

    def _check(self, built: Mapping[str, str], found: Mapping[str, str], advice: str = "") -> None:
        different = [
            f"{name}: got {found[name]!r}, allowed {value!r}"
            for name, value in built.items()
            if found[name] != value
        ]
        if different:
            told = "; ".join(different)
            raise EngineMetadataError(f"{self.plan}: {told}; {advice or self.advice}")

    @property
    def advice(self) -> str:
        """What builds it again, as the end of an error."""
        return rebuild(self.builder, *self.capability.split())


def rebuild(builder: Builder | None = None, *capabilities: str) -> str:
    """What to do about a plan that cannot be used, as the end of an error.

    builder: None where no file tells it. capabilities: such as "8.9"; a plan of TensorRT-RTX is
    built for those that it is asked for, one of TensorRT for the GPU at hand.
    """
    if builder is None:
        return f"{_REBUILD}tensorrt (or tensorrt-rtx, whichever built it)"
    if builder == "tensorrt":
        return f"{_REBUILD}tensorrt"
    names = {capability: name for name, capability in RTX_CAPABILITIES.items()}
    if other := [each for each in capabilities if each not in names]:
        known = ", ".join(names)
        return (
            f"TensorRT-RTX builds for {known}; for {', '.join(other)}, on that machine, "
            f"{_REBUILD}tensorrt"
        )
    return f"{_REBUILD}{builder} --capability {','.join(names[each] for each in capabilities)}"


def metadata_path(plan: Path) -> Path:
    """The path of a plan's metadata."""
    return plan.with_name(plan.name + SUFFIX)


def load_engine_metadata(plan: Path) -> EngineMetadata:
    """The metadata beside a plan, after checking the plan's hash.

    Raises EngineMetadataError for a missing or changed file.
    """
    path = metadata_path(plan)
    for wanted in (plan, path):
        if not wanted.is_file():
            raise EngineMetadataError(f"{wanted}: no such file; {_advice_beside(path)}")
    try:
        metadata = EngineMetadata.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise EngineMetadataError(f"{path}: {error}; {_advice_beside(path)}") from error
    if metadata.plan != plan.name:
        raise EngineMetadataError(
            f"{path}: plan: got {metadata.plan!r}, allowed {plan.name!r}; {metadata.advice}"
        )
    found = file_sha256(plan)
    if found != metadata.plan_sha256:
        raise EngineMetadataError(
            f"{plan}: got SHA-256 {found[:12]}, {path.name} says {metadata.plan_sha256[:12]}; "
            f"{metadata.advice}"
        )
    return metadata


def _advice_beside(path: Path) -> str:
    """Of the metadata at `path`, or of another plan in its folder: all are built together."""
    for file in (path, *sorted(path.parent.glob(f"*.plan{SUFFIX}"))):
        try:
            return EngineMetadata.model_validate_json(file.read_bytes()).advice
        except (OSError, ValidationError):
            continue
    return rebuild()
