"""Compares a variant's weights with those that diffusers merges into a pipeline of its own."""

from pathlib import Path
from typing import Any

import torch

from lafi_export.bare_pipeline import networks, quiet_libraries


def assert_same_weights(pipeline: Any, folder: Path) -> None:
    """More than pixels show: every weight is diffusers' own. pipeline: fused."""
    for part, network in networks(pipeline).items():
        with quiet_libraries():
            found = type(network).from_pretrained(folder / part).state_dict()
        theirs = {
            name.replace(".base_layer", ""): value
            for name, value in network.state_dict().items()
            if not any(mark in name for mark in ("lora_", "hada_", "lokr_"))
        }
        assert found.keys() == theirs.keys()
        for name, value in theirs.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
