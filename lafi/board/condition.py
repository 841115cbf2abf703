"""`Condition`: something that an outside package adds to what a panel is told."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from lafi.board.checked_model import CheckedModel
from lafi.board.error import not_allowed
from lafi.board.limits import Allowed, Fraction

OUTSIDE = "[a-z][a-z0-9_]{0,31}:[A-Za-z0-9+._-]{1,32}"
OutsideName = Annotated[
    str,
    Field(strict=True, pattern=f"^{OUTSIDE}$"),
    Allowed("package:Name of what an installed package brings, such as toy:Mood"),
]
Value = bool | int | float | str | tuple[float, ...]
MAX_CONDITIONS = 8


class Condition(CheckedModel):
    """A conditioner of an installed package, with the settings that it asks for."""

    kind: OutsideName
    start: Fraction = 0.0
    end: Fraction = 1.0
    """Step i of N of a stage has it if start <= i / N < end."""
    settings: dict[str, Value] = Field(
        default={}, max_length=32, description="a mapping from names to numbers, texts or lists"
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        """Fields that a condition itself has not are its settings."""
        if not isinstance(given, Mapping) or "settings" in given:
            return given
        own = {name: value for name, value in given.items() if name in cls.model_fields}
        rest = {name: value for name, value in given.items() if name not in own}
        if not all(isinstance(name, str) for name in rest):
            raise not_allowed("field names that are text")
        return own | {"settings": rest}
