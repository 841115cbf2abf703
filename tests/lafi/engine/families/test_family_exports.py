"""The graphs of every transformer, exported from small checkpoints, in ONNX Runtime.

Slow: torch's exporter takes a minute or more for graphs of any rows, sides and text lengths. The
toy family of `tests/families` goes the same way in the other tests.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from exported_family import check_exported
from joint_checkpoints import joint_checkpoint

from lafi.model.info import ReferencePositions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "positions"),
    [("zimage", "same"), ("zimage", "shifted"), ("pixart", "same"), ("hunyuan", "shifted")],
)
def test_exported_graphs_give_what_torch_gives(
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    positions: ReferencePositions,
) -> None:
    check_exported(small_checkpoints(name), tmp_path, positions)


def test_those_of_stable_diffusion_3_5_too(tmp_path: Path) -> None:
    joint_checkpoint("sd35", tmp_path / "sd35", num_layers=2, dual_attention_layers=[0])
    check_exported(tmp_path / "sd35", tmp_path)


def test_those_of_flux_too(tmp_path: Path) -> None:
    joint_checkpoint("dev", tmp_path / "dev", num_layers=1, num_single_layers=1)
    check_exported(tmp_path / "dev", tmp_path, "shifted")
