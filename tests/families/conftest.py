"""A package that brings a family of denoisers, installed for the tests of this folder."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lafi.engine.torch.families.registry import torch_families
from lafi.model.families.registry import families
from lafi.model.info import ModelInfo

TOY = Path(__file__).parent / "toy"
ENTRY_POINTS = """\
[lafi.families]
toy = lafi_toy.family:TOY
[lafi.torch_families]
toy = lafi_toy.torch_family:TORCH_TOY
"""


def forget() -> None:
    for found in (families, torch_families):
        found.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "lafi_toy"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package `lafi_toy` as pip would leave it, as long as a module's tests run."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(TOY, folder / "lafi_toy", ignore=shutil.ignore_patterns("__pycache__"))
    facts = folder / "lafi_toy-1.0.dist-info"
    facts.mkdir()
    metadata = "Metadata-Version: 2.1\nName: lafi-toy\nVersion: 1.0\n"
    (facts / "METADATA").write_text(metadata, encoding="utf-8")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        forget()
        yield
    forget()


@pytest.fixture(scope="module")
def info(toy: None) -> ModelInfo:
    from lafi_toy.family import MOOD, sites

    return ModelInfo(
        name="toy",
        family="toy",
        architecture="ToyTransformer",
        latent_channels=4,
        vae_scale=4,
        side_multiple=8,
        text_length=5,
        text_width=12,
        layers=sites(3, 2, 16),
        added_inputs=(MOOD,),
        prediction_type="flow",
    )


@pytest.fixture(scope="module")
def network(info: ModelInfo) -> Any:
    """Without routes as an argument; `TorchDenoiser` prepares the module that it is given."""
    from lafi_toy.network import ToyTransformer

    torch.manual_seed(0)
    return ToyTransformer().eval().requires_grad_(False)
