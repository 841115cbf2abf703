"""NVIDIA's own TensorRT bindings on a machine without a GPU.

The wheel `tensorrt_cu13_bindings` holds real Python bindings, whose shared library wants nine
functions of three libraries that come with the engine itself. Three empty libraries with those
names satisfy the loader; then every class, flag and signature is NVIDIA's, and nothing computes.
"""

import ctypes
import importlib
import importlib.util
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


def build_empty_libraries(folder: Path, compiler: str) -> list[Path]:
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    libraries = []
    for library in LIBRARIES:
        name = f"lib{library}.so.11"
        path = folder / name
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", path, source]
        subprocess.run(command, check=True)
        libraries.append(path)
    return libraries


@pytest.fixture(scope="session")
def loaded_bindings(tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    """`tensorrt_bindings` itself; imported once a process, since its library loads only once."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the empty libraries with")
    if importlib.util.find_spec("tensorrt_bindings") is None:
        pytest.skip("the package tensorrt_cu13_bindings is not installed")
    # The bindings' library finds them by name when it is loaded. Not global: those of TensorRT-RTX
    # have functions of the same names, and other tests of this process use them.
    for path in build_empty_libraries(tmp_path_factory.mktemp("libraries"), compiler):
        ctypes.CDLL(str(path))
    return importlib.import_module("tensorrt_bindings")


@pytest.fixture
def trt(loaded_bindings: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """`import tensorrt` gives the real bindings, for this test alone."""
    monkeypatch.setitem(sys.modules, "tensorrt", loaded_bindings)
    return loaded_bindings


class PluginRegistry:
    """In the place of TensorRT's own registry, which the empty libraries do not have."""

    def __init__(self) -> None:
        self.creators: dict[tuple[str, str, str], Any] = {}

    def register_creator(self, creator: Any, namespace: str = "") -> bool:
        key = (creator.name, creator.plugin_version, namespace)
        added = key not in self.creators
        self.creators.setdefault(key, creator)
        return added

    def get_creator(self, name: str, version: str, namespace: str = "") -> Any:
        return self.creators.get((name, version, namespace))


@pytest.fixture
def registry(trt: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginRegistry]:
    """An empty plugin registry, and `tensorrt.plugin` with nothing registered."""
    with warnings.catch_warnings():
        # Its docstrings have invalid escapes, of which Python tells when it compiles them.
        warnings.simplefilter("ignore", DeprecationWarning)
        plugin: Any = importlib.import_module("tensorrt.plugin")
    library = sys.modules[plugin.register.__module__]
    made = PluginRegistry()
    monkeypatch.setattr(trt, "get_plugin_registry", lambda: made)
    monkeypatch.setattr(library, "QDP_REGISTRY", {})
    monkeypatch.setattr(library, "QDP_CREATORS", {})
    yield made
    for namespace in [name for name in vars(plugin.op) if name == "lafi"]:
        delattr(plugin.op, namespace)
