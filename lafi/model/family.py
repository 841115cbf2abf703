"""`Family`: the facts about one kind of denoiser that do not need its weights.

Loading it and running it in torch is `lafi.engine.torch.family.TorchFamily`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast, get_args

from lafi.model.info import AttentionSite, ModelInfo, ModelInfoError
from lafi.model.input_port import InputPort
from lafi.model.text_stack import TextStack

Config = Mapping[str, Any]
GuidanceKind = Literal["rows", "embedded", "none"]
"""How the denoiser gets guidance: a second row, a number (port `guidance`), or not at all."""

PlanPrecision = Literal["f16", "bf16"]
NOT_BUILT_BY_TENSORRT: Final[Mapping[str, str]] = {
    "tensorrt": "TensorRT-RTX alone has built its denoiser (--target tensorrt-rtx)"
}
"""`Family.refused_runtimes` of a family whose engines TensorRT was not seen to build."""


class Family(Protocol):
    """One kind of denoiser. A new one is a file and a line in the registry.

    It may have `plan_precision`, of type PlanPrecision, for `plan_precision_of`.
    """

    @property
    def name(self) -> str:
        """As in `ModelInfo.family`."""

    @property
    def guidance(self) -> GuidanceKind:
        """How it gets guidance. Of an embedded one, models without its port have none."""

    @property
    def default_preset(self) -> str:
        """The name among `presets` of the layers that read references where nothing is said."""

    @property
    def refused_runtimes(self) -> Mapping[str, str]:
        """Name of a runtime that draws this family wrong, or is not known to draw it -> why, as a
        message says it. `lafi export` refuses it before any work."""

    @property
    def text(self) -> TextStack:
        """Its text encoders; what they give fills its inputs."""

    @property
    def parts(self) -> Mapping[str, Mapping[str, tuple[str | None, ...] | None]]:
        """Class of a diffusers pipeline -> its parts, each with its allowed classes.

        None allows any class; None among them allows a checkpoint without the part, whose
        model_index.json has null in its place.
        """

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        """One line for each value of a checkpoint's configs that does not fit the others."""

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        """Fields of the checkpoint's `ModelInfo` that depend on the family, but for its texts.

        They replace what is read alike for all families, such as `scheduler_config`.
        """

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """All inputs of the denoiser except the bank's, in the order of the exported graph."""

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> Mapping[str, tuple[float, ...]]:
        """The port values of every row of a picture (width, height), beside text and time."""

    def presets(self, layers: Sequence[AttentionSite]) -> Mapping[str, tuple[int, ...]]:
        """Name of an injection preset -> its layers, ascending.

        Presets that do not exist for these layers are left out.
        """


def plan_precision_of(family: Family) -> PlanPrecision:
    """In which TensorRT computes denoiser and text encoder: `plan_precision`, f16 without one.

    bf16 where values beyond 65504 come up, as in T5, which float16 does not hold. Families of
    outside packages may be older than the attribute. Raises ModelInfoError for another value.
    """
    found = getattr(family, "plan_precision", "f16")
    if found not in get_args(PlanPrecision):
        allowed = ", ".join(get_args(PlanPrecision))
        raise ModelInfoError(
            f"family {family.name}: plan_precision: got {found!r}, allowed {allowed}"
        )
    return cast(PlanPrecision, found)
