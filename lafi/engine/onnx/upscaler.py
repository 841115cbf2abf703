"""Enlarges pictures by networks, large ones in tiles, without a seam.

Knows pixels and how to call a network, not what its file is run with. Imports no torch, so that
the served model starts fast.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from lafi.engine.onnx.graph import RuntimeName, open_graph
from lafi.engine.onnx.tiles import tiles
from lafi.model.artifacts import check_file
from lafi.model.upscaler_files import (
    NETWORK,
    UpscalerInfo,
    UpscalerNetwork,
    network_folder,
    read_upscaler_info,
)
from lafi.ports.upscaler import Pictures

Planes = npt.NDArray[np.float32]
RunNetwork = Callable[[Planes], Planes]
"""(B, 3, H, W) in [0, 1] -> (B, 3, f * H, f * W), f the network's factor; may leave [0, 1]."""

GIVEN: Final = "image"
MADE: Final = "enlarged"
"""The input and the output of a network's ONNX file."""
SMALLEST_SIDE: Final = 8
"""Pixels of a picture's side, at least."""
MAX_ROWS: Final = 8
"""Pictures in one call of a network."""
MAX_PIXELS: Final = 512 * 512
"""Of all pictures in one call of a network, unless one alone has more."""


class TiledUpscaler:
    """`lafi.ports.upscaler.Upscaler` on networks that run in this process."""

    def __init__(self, info: UpscalerInfo, networks: Mapping[int, RunNetwork]) -> None:
        """networks: by factor, one for each of the facts."""
        self.info = info
        self._networks = dict(networks)

    def __call__(self, pictures: Pictures, factor: int) -> Pictures:
        """As `Upscaler`. Without a network of this factor a larger result is reduced, by area
        where the sizes divide and by Lanczos elsewhere."""
        network = self.info.network(factor)
        if network is None:
            has = ", ".join(str(known.factor) for known in self.info.networks)
            raise ValueError(f"factor: got {factor}, allowed 2 to the largest of {has}")
        large = self._enlarged(pictures, network)
        return large if network.factor == factor else _reduced(large, pictures, factor)

    def _enlarged(self, pictures: Pictures, network: UpscalerNetwork) -> Pictures:
        count, height, width, _ = pictures.shape
        factor = network.factor
        made = np.empty((count, factor * height, factor * width, 3), np.uint8)
        for rows, columns in tiles(height, width, network.reach):
            tile = pictures[:, rows.read, columns.read]
            kept = self._run(tile, factor)[:, _times(factor, rows.inside), :]
            kept = kept[:, :, _times(factor, columns.inside)]
            made[:, _times(factor, rows.kept), _times(factor, columns.kept)] = kept
        return made

    def _run(self, pictures: Pictures, factor: int) -> Pictures:
        """One call, or several if there are many pictures."""
        at_once = max(1, min(MAX_ROWS, MAX_PIXELS // (pictures.shape[1] * pictures.shape[2])))
        parts = (pictures[i : i + at_once] for i in range(0, len(pictures), at_once))
        run = self._networks[factor]
        return np.concatenate([to_pictures(run(to_planes(part))) for part in parts])


def load_upscaler(folder: Path, runtime: RuntimeName, threads: int = 0) -> TiledUpscaler | None:
    """All networks of an exported model on the CPU, in float32; None if it has none.

    folder: as `lafi.model.upscaler_files.upscaler_folder` gives it. threads: 0 for all cores.
    Raises ArtifactsError for a missing or changed file.
    """
    info = read_upscaler_info(folder)
    if info is None:
        return None
    networks = {n.factor: _opened(folder, n, runtime, threads) for n in info.networks}
    return TiledUpscaler(info, networks)


def to_planes(pictures: Pictures) -> Planes:
    """RGB uint8 (B, H, W, 3) -> (B, 3, H, W) float32 in [0, 1], as a network takes it."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def to_pictures(planes: Planes) -> Pictures:
    """(B, 3, H, W), clipped to [0, 1] -> RGB uint8 (B, H, W, 3). Raises ValueError for NaN."""
    if not np.isfinite(planes).all():
        raise ValueError("enlarged: got numbers that are not finite, allowed finite ones")
    rounded = np.rint(planes.clip(0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(0, 2, 3, 1))


def _opened(
    folder: Path, network: UpscalerNetwork, runtime: RuntimeName, threads: int
) -> RunNetwork:
    path = network_folder(folder, network.factor) / NETWORK
    check_file(path, network.sha256)
    run = open_graph(path, runtime, "f32", threads)

    def enlarge(planes: Planes) -> Planes:
        made: Planes = run({GIVEN: planes})[0]
        return made

    return enlarge


def _times(factor: int, span: slice) -> slice:
    return slice(factor * span.start, factor * span.stop)


def _reduced(large: Pictures, pictures: Pictures, factor: int) -> Pictures:
    """Enlarged pictures, reduced to `factor` times the given ones."""
    _, height, width, _ = pictures.shape
    whole = large.shape[1] % (factor * height) == 0
    method = Image.Resampling.BOX if whole else Image.Resampling.LANCZOS
    size = (factor * width, factor * height)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, method)) for each in large])
