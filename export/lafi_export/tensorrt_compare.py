"""Compares a built engine with the ONNX file that it was built from, by Polygraphy.

It needs a GPU and has not been run yet. Polygraphy loads the finished plan; its own options for
building aim at flags that TensorRT 11 no longer has.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lafi.engine_metadata import EngineMetadata
from lafi_export.tensorrt_plan import BuildError

Feed = Mapping[str, npt.NDArray[Any]]

TOLERANCES: Mapping[str, float] = {"f16": 2e-2, "f32": 2e-3}
"""Largest error by precision, absolute and relative; fp32 products are TF32 on the GPU."""


def compare_with_onnx(graph: Path, plan: Path, metadata: EngineMetadata, feeds: list[Feed]) -> None:
    """Run the plan and, in ONNX Runtime on the CPU, its graph on the same inputs.

    graph: with the plan's own input names, without plugin attributes. feeds: inputs by name,
    within the plan's profile. Raises ValueError for a shape outside it and BuildError naming
    the plan where an output is further off than the precision allows.
    """
    from polygraphy.backend.common import BytesFromPath
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner
    from polygraphy.comparator import Comparator, CompareFunc

    for feed in feeds:
        metadata.check_shapes({name: tuple(np.shape(values)) for name, values in feed.items()})
    results = Comparator.run(
        [
            OnnxrtRunner(SessionFromOnnx(str(graph)), name="onnx"),
            TrtRunner(EngineFromBytes(BytesFromPath(str(plan))), name="tensorrt"),
        ],
        data_loader=[dict(feed) for feed in feeds],
    )
    most = TOLERANCES[metadata.precision]
    compare = CompareFunc.simple(atol=most, rtol=most)
    if not bool(Comparator.compare_accuracy(results, compare_func=compare)):
        raise BuildError(f"{plan.name}: differs from {graph.name} by more than {most:g}")
