"""This distribution's requirements by extra, and which are installed. Imports none of them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable

from packaging.requirements import Requirement
from packaging.version import InvalidVersion

CLIENT = "client"
"""The key for requirements that belong to no extra."""


def by_extra(lines: Iterable[str], extras: Iterable[str]) -> dict[str, tuple[Requirement, ...]]:
    """Requirements by extra, in the order of `extras`, but "client" first.

    lines: `Requires-Dist` lines, extras: `Provides-Extra` names, of a distribution. Requirements
    for another platform or Python are left out. Raises packaging's InvalidRequirement, a
    ValueError.
    """
    requirements = [Requirement(line) for line in lines]
    always = tuple(each for each in requirements if _needed(each, ""))
    found = {CLIENT: always}
    for extra in extras:
        needed = (each for each in requirements if _needed(each, extra) and each not in always)
        found[extra] = tuple(needed)
    return found


def installed_version(name: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def problems(
    requirements: Iterable[Requirement],
    version_of: Callable[[str], str | None] = installed_version,
) -> tuple[str, ...]:
    """One text for each requirement that is missing or has the wrong version."""
    texts = (_problem(requirement, version_of(requirement.name)) for requirement in requirements)
    return tuple(text for text in texts if text)


def _needed(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _problem(requirement: Requirement, installed: str | None) -> str:
    """ "" if this version is allowed, else what is wrong."""
    if installed is None:
        return f"{requirement.name}{requirement.specifier} is missing"
    try:
        fits = requirement.specifier.contains(installed, prereleases=True)
    except InvalidVersion:
        fits = False
    return "" if fits else f"{requirement.name} is {installed}, needed is {requirement.specifier}"
