"""An adapter of the tiny checkpoint."""

from pathlib import Path

import pytest
from picture_adapters import random_adapter

from lafi.model.picture_prompt_info import AdapterFiles


@pytest.fixture(scope="session")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterFiles:
    """A plus adapter and its image encoder; read only."""
    return random_adapter(checkpoint, tmp_path_factory.mktemp("adapter"), "plus")
