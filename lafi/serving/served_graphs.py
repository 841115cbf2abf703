"""Loads the network of a served model that runs one itself, on the runtime that its config names.

Knows exported folders, not Triton Server.
"""

from pathlib import Path
from typing import Final, cast

from lafi.engine.onnx.compiled import compiled_folder
from lafi.engine.onnx.graph import Precision, RunGraph, RuntimeName, load_graph

PLANS_OF: Final = "tensorrt-rtx"
"""The runtime whose plans our models load; those of `tensorrt` the server loads itself."""


def load_served_graph(
    artifacts: Path,
    file: str,
    runtime: str,
    precision: str,
    threads: int,
    state: Path | None = None,
) -> RunGraph:
    """file: an exported ONNX file, or the one that a plan was built from.

    precision, threads: as `lafi.engine.onnx.graph.load_graph` takes them; a plan has its own.
    state: the folder that models may write to.
    Raises ArtifactsError for an unknown runtime and a missing or changed file, and what loading a
    plan raises.
    """
    if runtime == PLANS_OF:
        # Imported here: torch takes seconds, and networks on the CPU need none of it.
        from lafi.engine.tensorrt.engines import load_run_graph

        return load_run_graph(artifacts, file, state)
    names = cast(RuntimeName, runtime), cast(Precision, precision)
    compiled = None if state is None else compiled_folder(state)
    return load_graph(artifacts, file, *names, threads, compiled)
