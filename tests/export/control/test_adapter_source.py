"""A T2I-Adapter in one file becomes the folder that it would be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from control_networks import random_adapter
from diffusers import T2IAdapter
from safetensors.torch import load_file, save_file

from lafi.model.checkpoint import CheckpointError
from lafi_export.control.source import prepared_controls

LIGHT = {"adapter_type": "light_adapter", "channels": [16, 32], "num_res_blocks": 3}
FULL = {"num_res_blocks": 2}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("", FULL, "diffusers"),
    ("", {"in_channels": 1}, "diffusers"),
    ("", LIGHT, "diffusers"),
    ("", LIGHT, "authors"),
    ("sd15", FULL, "diffusers"),
    ("sd15", FULL, "authors"),
    ("sdxl", FULL, "diffusers"),
    ("sdxl", FULL, "authors"),
]
"""A checkpoint, changes to the config of an adapter for it, and whose names the file has."""


def by_authors(name: str, blocks: int, light: bool) -> str:
    """A tensor's name as its authors' files have it (T2I-Adapter, ldm/modules/encoders)."""
    name = name.removeprefix("adapter.")
    if light:
        return name.replace(".resnets.", ".body.")
    found = re.fullmatch(r"body\.(\d+)\.(?:resnets\.(\d+)\.)?(.*)", name)
    if found is None:
        return name
    return f"body.{int(found[1]) * blocks + int(found[2] or 0)}.{found[3]}"


@pytest.mark.parametrize(("name", "changes", "names"), CASES)
def test_a_file_is_the_same_adapter(
    name: str,
    changes: dict[str, Any],
    names: str,
    checkpoint: Path,
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    model = small_checkpoints(name) if name else checkpoint
    folder = random_adapter(model, tmp_path / "given", 0, **changes)
    expected = T2IAdapter.from_pretrained(folder)
    (file,) = folder.glob("*.safetensors")
    if names == "authors":
        light = expected.config.adapter_type == "light_adapter"
        renamed = {
            by_authors(tensor, expected.config.num_res_blocks, light): value
            for tensor, value in load_file(file).items()
        }
        file = tmp_path / "authors.safetensors"
        save_file(renamed, file)
    work = tmp_path / "work"
    work.mkdir()
    with prepared_controls({"ink": file}, model, work) as folders:
        made = T2IAdapter.from_pretrained(folders["ink"])
        for field in ("adapter_type", "channels", "in_channels", "downscale_factor"):
            assert made.config[field] == expected.config[field]
        weights, wanted = made.state_dict(), expected.state_dict()
        assert {*weights} == {*wanted}
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert not [*work.iterdir()]


@pytest.mark.parametrize("lost", ["adapter.conv_in.weight", "adapter.body.0.resnets.0.block1."])
def test_a_file_without_a_part_is_refused(checkpoint: Path, tmp_path: Path, lost: str) -> None:
    folder = random_adapter(checkpoint, tmp_path / "whole", 0)
    tensors = load_file(next(folder.glob("*.safetensors")))
    less = {name: value for name, value in tensors.items() if not name.startswith(lost)}
    save_file(less, tmp_path / "less.safetensors")
    with (
        pytest.raises(CheckpointError, match=r"control x: .*got a T2I-Adapter without"),
        prepared_controls({"x": tmp_path / "less.safetensors"}, checkpoint, tmp_path),
    ):
        pass
