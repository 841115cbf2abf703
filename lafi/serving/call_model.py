"""What a call of another served model looks like to those who make one. Knows no engine."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
CallModel = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
"""(model, inputs by name) -> outputs by name; raises what it likes."""
