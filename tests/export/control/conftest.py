"""A control network of the tiny checkpoint, and what `lafi export` makes of both."""

from pathlib import Path

import pytest
from control_networks import random_control


@pytest.fixture(scope="session")
def pose(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of a control network for `checkpoint`; read only."""
    return random_control(checkpoint, tmp_path_factory.mktemp("control") / "a-net.v1", seed=0)
