"""Finds families by name: our own, and those of outside packages.

An outside package registers an instance in the entry point group `lafi.families`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final

from lafi.model.families.flux import FLUX
from lafi.model.families.hunyuan import HUNYUAN
from lafi.model.families.pixart import PIXART
from lafi.model.families.sd3 import SD3
from lafi.model.families.unet import UNET
from lafi.model.families.zimage import ZIMAGE
from lafi.model.family import Family, GuidanceKind
from lafi.model.info import ModelInfo, ModelInfoError
from lafi.model.input_port import GUIDANCE_PORT, InputPort
from lafi.model.text_stack import TextStack

GROUP: Final = "lafi.families"
SHIPPED: Final[tuple[Family, ...]] = (UNET, ZIMAGE, FLUX, SD3, PIXART, HUNYUAN)


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """All families by name; read once, because installed packages do not change."""
    outside = (entry.load() for entry in entry_points(group=GROUP))
    return {family.name: family for family in (*SHIPPED, *outside)}


def family_of(info: ModelInfo) -> Family:
    """The family of a model. Raises ModelInfoError for one that is not installed."""
    found = families().get(info.family)
    if found is None:
        known = ", ".join(families())
        raise ModelInfoError(f"family of {info.name}: got {info.family!r}, allowed {known}")
    return found


def guidance_kind(info: ModelInfo) -> GuidanceKind:
    """How a model gets guidance: as its family does, or not at all if it lacks the input for it."""
    kind = family_of(info).guidance
    named = any(port.name == GUIDANCE_PORT for port in input_ports(info))
    return "none" if kind == "embedded" and not named else kind


def text_stack_of(info: ModelInfo) -> TextStack:
    """The text encoders of a model. Raises ModelInfoError as `family_of`."""
    return family_of(info).text


def text_names(info: ModelInfo) -> tuple[str, ...]:
    """The ports for an encoded text, in the order of the encoders' outputs."""
    return tuple(output.port for output in text_stack_of(info).outputs(info))


def input_ports(info: ModelInfo) -> tuple[InputPort, ...]:
    """All inputs of a model's denoiser except the bank's, in the order of the exported graph."""
    return (*family_of(info).inputs(info), *info.added_inputs)
