"""Compares an exported network with torch on every runtime, on noise and on pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lafi.engine.onnx.graph import RUNTIMES, open_graph
from lafi.engine.onnx.upscaler import GIVEN, Planes, to_pictures
from lafi.model.upscaler_files import UpscalerNetwork
from lafi_export.parity import engine_row, picture_row
from lafi_export.parity_report import TOLERANCES, EngineParity, ParityReport, PixelParity

SIZES = ((1, 16, 24), (3, 33, 17))
"""Batch, height and width of the pictures compared."""


def compare_network(
    network: nn.Module, path: Path, facts: UpscalerNetwork, threads: int = 0
) -> ParityReport:
    """The ONNX file `path` against `network` in float32, in every runtime.

    threads: CPU threads, 0 for all cores.
    """
    engines: list[EngineParity] = []
    pictures: list[PixelParity] = []
    for runtime in RUNTIMES:
        run = open_graph(path, runtime, "f32", threads)
        for kind, size in ((kind, size) for kind in ("noise", "waves") for size in SIZES):
            image = _noise(*size) if kind == "noise" else _waves(*size)
            with torch.no_grad():
                want = network(torch.from_numpy(image))
            got = torch.from_numpy(run({GIVEN: image})[0])
            case = "{} of {} x {} x {}".format(kind, *size)
            engines.append(engine_row("upscaler", case, runtime, "f32", want, got))
            pixels = to_pictures(want.numpy()), to_pictures(got.numpy())
            pictures.append(picture_row(case, runtime, "f32", *pixels))
    return ParityReport(
        model=f"{facts.name}, {facts.factor} times",
        weights_sha256=facts.weights_sha256,
        engines=tuple(engines),
        pictures=tuple(pictures),
        tolerances={"f32": TOLERANCES["f32"]},
    )


def _noise(count: int, height: int, width: int) -> Planes:
    return np.random.default_rng(0).random((count, 3, height, width), np.float32)


def _waves(count: int, height: int, width: int) -> Planes:
    """Smooth and flat parts with edges between, as pictures have them."""
    y, x = np.mgrid[:height, :width]
    wave = np.stack([np.sin(x / (3 + i) + y / (5 - i)) for i in range(3)])
    flat = np.where((x // 8 + y // 8) % 2, 0.8, 0.3)
    both = np.clip(0.5 * (wave / 2 + 0.5) + 0.5 * flat, 0, 1).astype(np.float32)
    return np.stack([np.roll(both, i, axis=2) for i in range(count)])
