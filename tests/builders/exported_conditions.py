"""What exports with control networks, adapters or picture prompts have in common in tests."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from steered_boards import coarse_blocks, pixels, png

from lafi.board.storyboard import Panel, Storyboard
from lafi.model.control_info import network_ports
from lafi.model.families.registry import input_ports
from lafi.model.info import load_model_info
from lafi.model.input_port import InputPort
from lafi.model.picture_prompt_info import ENCODER
from lafi.ports.engines import Engines
from lafi_export.parity_cases import random_batch, random_ports
from lafi_export.picture_prompts.repository import picture_report

POSE = {"neck": (0.5, 0.3), "nose": (0.5, 0.1), "right_hip": (0.4, 0.6)}
SHOWN: dict[str, Any] = {"image": png(coarse_blocks(1, 4, (40, 50))), "strength": 0.8}
LEFT: dict[str, Any] = {"image": png(coarse_blocks(2, 4, (40, 50))), "region": [0, 0, 0.5, 1]}


def drawn(engines: Engines, panels: Sequence[dict[str, Any]]) -> list[np.ndarray]:
    """Panels of one prompt and seed with these fields, in one batch, without injection."""
    board = Storyboard(
        width=32,
        height=32,
        sampling={"steps": 3, "sampler": "DDIM", "guidance": 3},
        injection={"layers": "none"},
        panels=[Panel(prompt="a child", seed=1, **fields) for fields in panels],
    )
    return pixels(board, engines)


def check_a_single_cell(
    exported: Engines,
    engines: Engines,
    rows: int,
    *,
    routed: bool,
    kinds: Sequence[Callable[[InputPort], bool]],
) -> None:
    """The deepest inputs as wide and high as the smallest latents, and the network `pose` itself.

    Not routed: one row of zeros stands for all. kinds: of ports that the model has.
    """
    generator = torch.Generator().manual_seed(0)
    batch = random_batch(exported.info, generator, (rows, 1, 1, 1), routed=routed)
    for kind in kinds:
        deepest = [port for port in exported.info.added_inputs if kind(port)][-1]
        assert (deepest.name in batch.ports) == routed
    want, got = engines.denoiser(batch), exported.denoiser(batch)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    ports = network_ports(input_ports(exported.info))
    given = random_ports(ports, exported.info, generator, (rows, 1, 1, 1))
    pair = (each.controls["pose"].residuals(given) for each in (exported, engines))
    for one, other in zip(*pair, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def check_facts_of_picture_prompts(artifacts: Path) -> None:
    """Manifest and report name the encoder, the adapter's weights and the compared cases."""
    info = load_model_info(artifacts)
    assert info.picture_prompts is not None
    assert sorted(info.picture_prompts.sha256) == [ENCODER, "weights/encoder.safetensors"]
    assert "weights/picture_prompts.safetensors" in info.onnx_weights["denoiser.onnx"]
    assert "weights/picture_prompts.safetensors" not in info.onnx_weights["reference.onnx"]
    report = picture_report(artifacts)
    assert {row.case for row in report.engines} == {"batch 1", "batch 3", "no picture"}
    assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}
