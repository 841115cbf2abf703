"""What this distribution requires, per extra, and what of it is installed. Imports none of it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

CLIENT = "client"
"""What is needed whatever extra is installed."""


def by_extra(lines: Iterable[str], extras: Iterable[str]) -> dict[str, tuple[Requirement, ...]]:
    """Requirements per extra, in their order; "client" first.

    lines: `Requires-Dist` lines, extras: `Provides-Extra` names, of a distribution. What is for
    another platform or Python is left out. Raises packaging's InvalidRequirement, a ValueError.
    """
    requirements = [Requirement(line) for line in lines]
    always = tuple(each for each in requirements if _needed(each, ""))
    found = {CLIENT: always}
    for extra in extras:
        needed = (each for each in requirements if _needed(each, extra) and each not in always)
        found[extra] = tuple(needed)
    return found


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, None if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def problems(
    requirements: Iterable[Requirement],
    version_of: Callable[[str], str | None] = installed_version,
) -> tuple[str, ...]:
    """What is missing or has the wrong version, one text each."""
    texts = (_problem(requirement, version_of(requirement.name)) for requirement in requirements)
    return tuple(text for text in texts if text)


def _needed(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _problem(requirement: Requirement, installed: str | None) -> str:
    """ "" if this version will do, else what is wrong with it."""
    if installed is None:
        return f"{requirement.name}{requirement.specifier} is missing"
    try:
        fits = requirement.specifier.contains(installed, prereleases=True)
    except InvalidVersion:
        fits = False
    return "" if fits else f"{requirement.name} is {installed}, needed is {requirement.specifier}"
