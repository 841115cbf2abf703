"""Finds families by name: those shipped here, and those of outside packages.

An outside package names an instance of its family under the entry point group `lafi.families`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final

from lafi.model.families.unet import UNET
from lafi.model.family import Family
from lafi.model.info import ModelInfo, ModelInfoError
from lafi.model.input_port import InputPort

GROUP: Final = "lafi.families"
_SHIPPED: Final[tuple[Family, ...]] = (UNET,)


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """Every family by its name; read once, as what is installed does not change."""
    outside = (entry.load() for entry in entry_points(group=GROUP))
    return {family.name: family for family in (*_SHIPPED, *outside)}


def family_of(info: ModelInfo) -> Family:
    """The family of a model. Raises ModelInfoError for one that is not installed."""
    found = families().get(info.family)
    if found is None:
        known = ", ".join(families())
        raise ModelInfoError(f"family of {info.name}: got {info.family!r}, allowed {known}")
    return found


def text_names(info: ModelInfo) -> tuple[str, ...]:
    """The ports that a text fills, in the order of its encoders' outputs; the first is `text`."""
    return tuple(output.port for output in family_of(info).text_outputs(info))


def input_ports(info: ModelInfo) -> tuple[InputPort, ...]:
    """Every input of a model's denoiser but the bank's, in the order of its exported graph."""
    return (*family_of(info).inputs(info), *info.added_inputs)
