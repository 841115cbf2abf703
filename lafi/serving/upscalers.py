"""Loads the networks of the served model `upscaler`, on the runtime that its config names.

Knows exported folders, not Triton Server.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from lafi.engine.onnx.graph import RUNTIMES, RuntimeName
from lafi.engine.onnx.upscaler import TiledUpscaler, load_upscaler
from lafi.model.artifacts import ArtifactsError
from lafi.model.upscaler_files import PUT_IN, UPSCALER

TENSORRT: Final = ("tensorrt", "tensorrt-rtx")


def load_served_upscaler(
    artifacts: Path, runtime: str, threads: int, state: Path | None = None
) -> TiledUpscaler:
    """artifacts: the folder that `lafi export` wrote. threads: CPU threads, 0 for all cores.

    state: the folder that models may write to.

    Raises ArtifactsError for an unknown runtime, a missing or changed file, and a folder without
    networks; and what loading a plan raises.
    """
    if runtime not in _LOADERS:
        raise ArtifactsError(f"runtime: got {runtime!r}, allowed {', '.join(_LOADERS)}")
    folder = Path(artifacts) / UPSCALER
    upscaler = _LOADERS[runtime](folder, threads, state)
    if upscaler is None:
        raise ArtifactsError(f"{folder}: got no network, allowed one or more; {PUT_IN}")
    return upscaler


def _on_gpu(folder: Path, threads: int, state: Path | None) -> TiledUpscaler | None:
    # Imported here: torch takes seconds, and networks on the CPU need none of it.
    from lafi.engine.tensorrt.upscaler import load_tensorrt_upscaler

    return load_tensorrt_upscaler(folder, state)


def _on_cpu(
    runtime: RuntimeName, folder: Path, threads: int, state: Path | None
) -> TiledUpscaler | None:
    return load_upscaler(folder, runtime, threads)


_Load = Callable[[Path, int, Path | None], TiledUpscaler | None]
_LOADERS: Final[Mapping[str, _Load]] = {
    **{name: partial(_on_cpu, name) for name in RUNTIMES},
    **dict.fromkeys(TENSORRT, _on_gpu),
}
