"""`Planner`: who turns a cleaned text into scenes, characters and panels.

Each method gets what the steps before it gave, maybe edited by a person, and must go by it.
"""

from collections.abc import Callable
from typing import Protocol

from lafi_story.steps import Cast, Outline, Scenes, Script

Report = Callable[[str, int, int], None]
"""Told how far a step is: its name, how much is done, of how much."""


def silent(step: str, done: int, whole: int) -> None:
    """A `Report` that tells nobody."""


class Planner(Protocol):
    """The same text and steps must give the same answer."""

    @property
    def identity(self) -> str:
        """Name, version and settings: steps that another planner made are made anew."""
        ...

    def scenes(self, outline: Outline, report: Report = silent) -> Scenes:
        """Where it is split: every paragraph is in exactly one scene."""
        ...

    def characters(self, outline: Outline, scenes: Scenes, report: Report = silent) -> Cast:
        """Who is in it."""
        ...

    def panels(
        self, outline: Outline, scenes: Scenes, cast: Cast, count: int, report: Report = silent
    ) -> Script:
        """The moments to show, in the order of the text: at most `count`, 1 to MAX_PANELS."""
        ...
