"""The rule that chooses the injection of few steps."""

from typing import Any

import pytest

from benchmarks.few_steps_injection import NONE, SETTINGS, chosen
from lafi.board.injection import Injection


def found(action: float, scene: float, identity: float) -> dict[str, Any]:
    values = {"action": action, "scene": scene, "identity": identity}
    return {name: {"mean": value} for name, value in values.items()}


FULL = found(1.0, 0.9, 0.65)
ALONE = found(1.0, 1.0, 0.3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({NONE: ALONE, "a": found(1.0, 0.2, 0.9), "b": found(0.95, 0.86, 0.5)}, "b"),
        ({NONE: ALONE, "a": found(0.96, 0.9, 0.6), "b": found(1.0, 1.0, 0.5)}, "a"),
        ({NONE: ALONE, "a": found(0.94, 0.9, 0.6)}, NONE),
        ({NONE: found(1.0, 1.0, 0.9), "a": found(1.0, 0.85, 0.8)}, NONE),
    ],
)
def test_the_greatest_identity_that_loses_little(settings: dict[str, Any], expected: str) -> None:
    assert chosen(FULL, settings) == expected


def test_the_settings_are_injections_that_differ() -> None:
    made = [Injection.model_validate(settings) for settings in SETTINGS.values()]
    assert len({*made}) == len(SETTINGS)
