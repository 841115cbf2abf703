"""Parses the option `--control NAME=FOLDER_OR_FILE`. Knows names and paths, not networks."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lafi.board.limits import NAME_PATTERN

OPTION: Final = "--control"
_NAME: Final = re.compile(NAME_PATTERN)


class ControlOptionError(ValueError):
    """The option is wrong; the text names option, value and what is allowed."""


def parse_controls(options: Sequence[str]) -> dict[str, Path]:
    """Name -> folder or file, in the order of the options.

    Raises ControlOptionError, also for a name that is used twice and a path that is not there.
    """
    found: dict[str, Path] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not text:
            raise _refused(option, "NAME=FOLDER or NAME=FILE")
        if not _NAME.fullmatch(name):
            raise _refused(option, "a lower-case name of up to 32 letters, digits and _, as pose")
        if name in found:
            raise _refused(option, f"each name once; {name} is there already")
        found[name] = Path(text)
        if not found[name].exists():
            raise _refused(option, f"a folder or a file that is there; {text} is not")
    return found


def _refused(got: str, allowed: str) -> ControlOptionError:
    return ControlOptionError(f"{OPTION}: got {got!r}, allowed {allowed}")
