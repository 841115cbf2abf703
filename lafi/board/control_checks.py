"""Checks that need several fields of a control. Knows no model."""

from collections.abc import Iterator, Sequence

from lafi.board.control import Control
from lafi.board.error import Verbatim, problem


def control_problems(field: str, controls: Sequence[Control]) -> Iterator[str]:
    """A line for each that sees no picture or two, and for each window that no step can be in."""
    for place, control in enumerate(controls):
        where = f"{field}[{place}]"
        if (control.image is None) == (control.pose is None):
            yield problem(where, Verbatim("image and pose, or neither"), "one of the two")
        for number, figure in enumerate(control.pose or ()):
            if not figure:
                allowed = "a mapping with at least one joint"
                yield problem(f"{where}.pose[{number}]", Verbatim("no joints"), allowed)
        if control.pose is not None and control.prepare != "none":
            yield problem(f"{where}.prepare", control.prepare, "none with pose, which is drawn")
        if control.end <= control.start:
            allowed = f"more than {control.start:g} (its start), at most 1"
            yield problem(f"{where}.end", control.end, allowed)
