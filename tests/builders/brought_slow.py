"""Which of many brought files are drawn on every run, and which by `make test-slow` alone."""

from collections.abc import Sequence
from typing import Any

import pytest


def one_in(count: int, cases: Sequence[Any]) -> list[Any]:
    """The cases, all but every `count`th one marked as slow: to draw one takes seconds."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=str(case[0] if isinstance(case, tuple) else case),
            marks=[pytest.mark.slow] if place % count else [],
        )
        for place, case in enumerate(cases)
    ]
