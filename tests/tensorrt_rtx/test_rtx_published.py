"""All networks of published UNets, by the real parser and builder of TensorRT-RTX.

Their kinds of blocks, heads, conditions and text encoders with few layers here, whole ones in the
slow tests of `test_rtx_command.py`: torch's exporter takes minutes for those.
"""

from pathlib import Path

import pytest
from shallow_unets import shallow_unet

from lafi.model.architectures.registry import ArchitectureName
from lafi.model.artifacts import DENOISER, FILES
from lafi.model.checkpoint import read_model_info
from lafi_export.artifacts import export_model
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_command import rtx_machine
from lafi_export.tensorrt_plan import BuildOptions
from lafi_export.tensorrt_profiles import Limits, Range
from lafi_export.tensorrt_repository import build_repository

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")

SMALLEST = Limits(rows=Range(1, 3, 4), batch=Range(1, 1, 2), side=Range(64, 64, 128))
OWN = {"sd15": set[str](), "sd21": set[str](), "sdxl": {"pooled", "time_ids"}}
"""Inputs of the denoiser that the test checkpoint does not have."""


@pytest.mark.parametrize("name", list(OWN))
def test_all_networks_of_a_shallow_one_are_built(name: ArchitectureName, tmp_path: Path) -> None:
    shallow_unet(name, tmp_path / "checkpoint")
    info = read_model_info(tmp_path / "checkpoint")
    assert len(info.layers) == 4
    (artifacts := tmp_path / "repository" / "artifacts").mkdir(parents=True)
    export_model(tmp_path / "checkpoint", artifacts, info, print)
    options = BuildOptions.for_rtx(("SM89",))
    made = build_repository(
        tmp_path / "repository",
        rtx_machine(options),
        build_engine,
        options=options,
        limits=SMALLEST,
    )
    assert list(made) == list(FILES)
    assert OWN[name] <= set(made[DENOISER].profile)
    assert (artifacts / made[DENOISER].plan).stat().st_size > 1_000_000
    for metadata in made.values():
        assert metadata.capability == "8.9"
        assert (artifacts / metadata.plan).stat().st_size > 500_000
