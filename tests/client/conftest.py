"""The scripted server that tests of the client share."""

from collections.abc import Iterator

import pytest
from fake_triton import FakeTritonServer, Script, in_stages

from lafi.board.storyboard import Storyboard


@pytest.fixture
def server() -> Iterator[FakeTritonServer]:
    fake = FakeTritonServer()
    yield fake
    fake.stop()


@pytest.fixture
def staged() -> Script:
    """A script that draws in stages."""
    return in_stages


@pytest.fixture
def storyboard() -> Storyboard:
    """Three panels, one character whose portrait has to be drawn."""
    return Storyboard.model_validate(
        {
            "title": "Three panels",
            "characters": [{"name": "mia", "prompt": "a child with red hair"}],
            "panels": [
                {"prompt": "{mia} standing"},
                {"prompt": "{mia} running"},
                {"prompt": "{mia} sitting"},
            ],
            "sampling": {"steps": 2},
        }
    )
