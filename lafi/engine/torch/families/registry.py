"""Finds the torch side of a family by its name.

An outside package registers an instance in the entry point group `lafi.torch_families`.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final

from lafi.engine.torch.families.unet import TORCH_UNET
from lafi.engine.torch.family import TorchFamily
from lafi.model.info import ModelInfo, ModelInfoError

GROUP: Final = "lafi.torch_families"
_SHIPPED: Final[tuple[TorchFamily, ...]] = (TORCH_UNET,)


@lru_cache(maxsize=1)
def torch_families() -> Mapping[str, TorchFamily]:
    """All families by name; read once, because installed packages do not change."""
    outside = (entry.load() for entry in entry_points(group=GROUP))
    return {family.name: family for family in (*_SHIPPED, *outside)}


def torch_family_of(info: ModelInfo) -> TorchFamily:
    """The family of a model. Raises ModelInfoError for one that is not installed."""
    found = torch_families().get(info.family)
    if found is None:
        known = ", ".join(torch_families())
        raise ModelInfoError(f"family of {info.name}: got {info.family!r}, allowed {known}")
    return found
