"""What this distribution requires, per extra, and what of it is installed. Imports none of it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

CLIENT = "client"
_REQUIREMENT = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?\s*(?P<bounds>[^;]*)(;(?P<marker>.*))?$"
)
_BOUND = re.compile(r"(?P<operator>==|>=|<=|!=|~=|<|>)\s*(?P<version>[A-Za-z0-9.*+!-]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One package that an extra needs. `extra` is "client" for what is always needed.

    bounds: pairs such as (">=", "1.26"), all of which must hold.
    """

    extra: str
    name: str
    bounds: tuple[tuple[str, str], ...]

    def problem(self, installed: str | None) -> str:
        """ "" if this version will do, else what is wrong with it."""
        wanted = ",".join(operator + version for operator, version in self.bounds)
        if installed is None:
            return f"{self.name}{wanted} is missing"
        if all(_holds(installed, operator, version) for operator, version in self.bounds):
            return ""
        return f"{self.name} is {installed}, needed is {wanted}"


def parse(line: str) -> Requirement:
    """A `Requires-Dist` line; ValueError for one that cannot be read."""
    match = _REQUIREMENT.match(line.strip())
    if match is None:
        raise ValueError(f"requirement: got {line!r}, allowed is a line such as 'numpy>=1.26'")
    extra = _EXTRA.search(match["marker"] or "")
    bounds = tuple((m["operator"], m["version"]) for m in _BOUND.finditer(match["bounds"]))
    return Requirement(extra["extra"] if extra else CLIENT, match["name"], bounds)


def by_extra(lines: Iterable[str]) -> dict[str, tuple[Requirement, ...]]:
    """Requirements per extra, in their order; "client" first."""
    found: dict[str, list[Requirement]] = {CLIENT: []}
    for requirement in map(parse, lines):
        found.setdefault(requirement.extra, []).append(requirement)
    return {extra: tuple(requirements) for extra, requirements in found.items()}


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
    texts = (requirement.problem(version_of(requirement.name)) for requirement in requirements)
    return tuple(text for text in texts if text)


def _holds(installed: str, operator: str, wanted: str) -> bool:
    """Compares release numbers only, which is all that our own requirements need."""
    have, want = _release(installed), _release(wanted)
    length = max(len(have), len(want))
    left = have + (0,) * (length - len(have))
    right = want + (0,) * (length - len(want))
    results = {
        "==": left == right,
        "!=": left != right,
        ">=": left >= right,
        "<=": left <= right,
        ">": left > right,
        "<": left < right,
        "~=": left >= right and have[: len(want) - 1] == want[:-1],
    }
    return results[operator]


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()
