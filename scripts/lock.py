"""Prints constraints.txt: the exact version of every package in this environment."""

from __future__ import annotations

import importlib.metadata
import re

OURS = {"lafi", "pip", "setuptools", "wheel"}
HEADER = """\
# Every package of the environment that `make setup` builds. Written by `make lock`.
# The local part of a version (torch's +cpu) is left out: an index may carry either name.
"""


def pins() -> list[str]:
    """One `name==version` per installed distribution, in alphabetical order."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name).lower()
        if name not in OURS:
            found[name] = distribution.version.split("+")[0]
    return [f"{name}=={found[name]}" for name in sorted(found)]


if __name__ == "__main__":
    print(HEADER + "\n".join(pins()))
