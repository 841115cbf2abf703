"""Finds conditioners that outside packages bring, by the name that a panel gives.

A package names an instance of a `ConditionerMaker` under the entry point group
`lafi.conditioners`; the entry's name is `package:Name`, as storyboards write it.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

from lafi.board.condition import Condition, Value
from lafi.board.error import closest
from lafi.conditioning.conditioner import Conditioner
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo

GROUP: Final = "lafi.conditioners"


class ConditionerMaker(Protocol):
    """Prepares a conditioner for one panel and one stage."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Names of the denoiser's inputs that it fills."""

    def prepare(
        self, settings: Mapping[str, Value], window: tuple[float, float], size: tuple[int, int]
    ) -> Conditioner:
        """window: start and end as shares of the stage's steps. size: latent height and width.

        Raises ValueError that names a setting, what it got and what it allows.
        """


@lru_cache(maxsize=1)
def makers() -> Mapping[str, ConditionerMaker]:
    """Every maker by name; read once, as what is installed does not change."""
    return {entry.name: entry.load() for entry in entry_points(group=GROUP)}


def prepared(condition: Condition, info: ModelInfo, size: tuple[int, int]) -> Conditioner:
    """The conditioner of one panel's stage; size: latent height and width.

    Raises ValueError for a kind that is not installed, for a model that has no such input, and
    what the maker refuses; each names the field, what it got and what is allowed.
    """
    maker = makers().get(condition.kind)
    if maker is None:
        names = [*makers()]
        known = ", ".join(names) or "none, since no installed package brings one"
        raise ValueError(
            f"kind: got {condition.kind!r}, allowed: {known}{closest(condition.kind, names)}"
        )
    there = {port.name for port in input_ports(info)}
    missing = [name for name in maker.ports if name not in there]
    if missing:
        raise ValueError(
            f"kind: got {condition.kind!r}, allowed with a model that has the input "
            f"{', '.join(missing)}; {info.name} has not"
        )
    return maker.prepare(condition.settings, (condition.start, condition.end), size)
