"""Finds what a family does with torch, by its name.

Of a family that `lafi.model.families.registry` ships it is `FAMILY` in the module of the same name
here. An outside package names an instance under the entry point group `lafi.torch_families`.
"""

import importlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final

from lafi.engine.torch.family import TorchFamily
from lafi.model.families.registry import SHIPPED
from lafi.model.info import ModelInfo, ModelInfoError

GROUP: Final = "lafi.torch_families"


@lru_cache(maxsize=1)
def torch_families() -> Mapping[str, TorchFamily]:
    """Every family by its name; read once, as what is installed does not change."""
    package = __name__.rpartition(".")[0]
    shipped = (importlib.import_module(f"{package}.{family.name}").FAMILY for family in SHIPPED)
    outside = (entry.load() for entry in entry_points(group=GROUP))
    return {family.name: family for family in (*shipped, *outside)}


def torch_family_of(info: ModelInfo) -> TorchFamily:
    """The family of a model. Raises ModelInfoError for one that is not installed."""
    found = torch_families().get(info.family)
    if found is None:
        known = ", ".join(torch_families())
        raise ModelInfoError(f"family of {info.name}: got {info.family!r}, allowed {known}")
    return found
