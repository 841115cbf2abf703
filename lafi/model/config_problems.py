"""Config files of a checkpoint as plain mappings, and error lines for wrong values in them."""

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]


def differs(field: str, config: Config, allowed: object, why: str) -> list[str]:
    """An error line if `field` of the part's config is not `allowed`, else nothing."""
    found = config.get(field.partition(".")[2])
    return [] if found == allowed else [f"{field}: got {found!r}, allowed {allowed!r} ({why})"]
