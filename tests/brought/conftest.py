"""What the tables of brought inputs are drawn with."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from brought_files import Brought
from brought_loras import Shapes
from drawn_twice import Pixels, drawn_by_stock, stock_pipeline
from lafi_export.bare_pipeline import bare_pipeline, networks


@pytest.fixture
def expected(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> None:
    """Says in the record what a passed test of a `Brought` means."""
    brought: Brought = request.node.callspec.params["brought"]
    record_property("brought", Path(str(request.node.path)).stem.removeprefix("test_"))
    record_property("expected", "refused_as_expected" if brought.error else "right")


@pytest.fixture(scope="session")
def stock(small_checkpoints: Callable[[str], Path]) -> Callable[[str], Any]:
    """Name of a published architecture -> a fresh stock pipeline of the small checkpoint."""

    @cache
    def loaded(name: str) -> Any:
        return stock_pipeline(small_checkpoints(name))

    return lambda name: copy.deepcopy(loaded(name))


@pytest.fixture(scope="session")
def plain(stock: Callable[[str], Any]) -> Callable[[str], Pixels]:
    """Name of a published architecture -> what the stock pipeline draws without anything added."""

    @cache
    def drawn(name: str) -> Pixels:
        return drawn_by_stock(stock(name))

    return drawn


@pytest.fixture(scope="session")
def shapes(small_checkpoints: Callable[[str], Path]) -> Callable[[str], Shapes]:
    """Name of a published architecture -> part -> module -> shape of its weight."""

    def of(model: str) -> Shapes:
        return {
            part: {
                name: tuple(module.weight.shape)
                for name, module in network.named_modules()
                if isinstance(getattr(module, "weight", None), torch.nn.Parameter)
            }
            | text_names(network)
            for part, network in networks(bare_pipeline(small_checkpoints(model))).items()
        }

    return of


def text_names(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Modules of a text encoder under the names that files have, with their tower's."""
    return {
        f"text_model.{name.removeprefix('text_model.')}": tuple(module.weight.shape)
        for name, module in network.named_modules()
        if ".self_attn." in name
    }
