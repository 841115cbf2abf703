"""Finds runtimes by name: those shipped here, and those of outside packages.

An outside package names an instance of its runtime under the entry point group `lafi.runtimes`.
It is loaded when a name is asked for that is none of ours, and replaces none of them.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from lafi.engine.onnx.runtime import ONNX_RUNTIMES
from lafi.engine.tensorrt.runtime import TENSORRT_RUNTIMES
from lafi.model.artifacts import ArtifactsError
from lafi.ports.runtime import Runtime

GROUP: Final = "lafi.runtimes"
_SHIPPED: Final[tuple[Runtime, ...]] = (*ONNX_RUNTIMES, *TENSORRT_RUNTIMES)


def runtimes() -> Mapping[str, Runtime]:
    """Every runtime by its name. Raises TypeError where an entry point names something else."""
    found = _own()
    for entry in entry_points(group=GROUP):
        runtime = entry.load()
        if not isinstance(runtime, Runtime) or isinstance(runtime, type):
            raise TypeError(
                f"entry point {entry.name} of {GROUP}: got {type(runtime).__name__}, "
                "allowed: an instance of a Runtime"
            )
        found.setdefault(runtime.name, runtime)
    return found


def runtime_named(name: str) -> Runtime:
    """Raises ArtifactsError for a runtime that is not installed."""
    known: Mapping[str, Runtime] = _own()
    if name not in known:
        known = runtimes()
    if name not in known:
        raise ArtifactsError(f"runtime: got {name!r}, allowed {', '.join(known)}")
    return known[name]


def _own() -> dict[str, Runtime]:
    return {runtime.name: runtime for runtime in _SHIPPED}
