"""Joins people of several parts of a text: those who share a name are one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Someone:
    """Names as the text has them, the words for the gender, and what is said of the looks."""

    names: tuple[str, ...]
    genders: tuple[str, ...] = ()
    looks: tuple[tuple[str, str, str, int], ...] = ()
    """Slot, value, what the text says, paragraph."""


def merged(people: Iterable[Someone]) -> tuple[Someone, ...]:
    """Each of them in exactly one, in the order in which they first come; no name in two.

    Merged once more they stay as they are. Names are compared without case.
    """
    groups: list[list[Someone]] = []
    for one in people:
        names = {name.casefold() for name in one.names}
        mates = [g for g in groups if any(n.casefold() in names for o in g for n in o.names)]
        if not mates:
            groups.append([one])
            continue
        first, *others = mates
        for other in others:
            first += other
            groups.remove(other)
        first.append(one)
    return tuple(map(_joined, groups))


def without_shared(people: Sequence[Someone]) -> tuple[tuple[Someone, ...], tuple[str, ...]]:
    """People of one answer without the names that several of them have, and those names.

    Such a name (`Brown` of Mr and Mrs Brown) would make one person of two. A name that is all that
    somebody has stays with the first of them.
    """
    owners: dict[str, list[int]] = {}
    for place, one in enumerate(people):
        for name in dict.fromkeys(name.casefold() for name in one.names):
            owners.setdefault(name, []).append(place)
    shared = {name for name, places in owners.items() if len(places) > 1}
    kept = []
    for place, one in enumerate(people):
        own = tuple(name for name in one.names if name.casefold() not in shared)
        if not own:
            own = tuple(n for n in one.names if owners[n.casefold()][0] == place)[:1] or one.names
        kept.append(Someone(own, one.genders, one.looks))
    return tuple(kept), tuple(sorted(shared))


def _joined(group: Sequence[Someone]) -> Someone:
    names: dict[str, str] = {}
    for one in group:
        for name in one.names:
            names.setdefault(name.casefold(), name)
    return Someone(
        tuple(names.values()),
        tuple(gender for one in group for gender in one.genders),
        tuple(dict.fromkeys(look for one in group for look in one.looks)),
    )
