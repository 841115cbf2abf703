"""Compares a built engine with the ONNX file that it was built from, by Polygraphy.

An engine that disagrees is refused. Knows files, shapes and tolerances, not how an engine is built.
The engine needs a GPU and was not run yet; its graph runs in ONNX Runtime on the CPU.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from lafi.engine.tensorrt.engines import BANK, open_plan
from lafi.model.bank_groups import BANK_MASK
from lafi.model.engine_metadata import EngineMetadata, Shape
from lafi.model.families.registry import input_ports, text_stack_of
from lafi.model.info import load_model_info
from lafi.model.input_port import NOWHERE, InputPort
from lafi.wire.model_spec import CLIP_SKIP, TOKEN_IDS
from lafi_export.tensorrt_graph import rename
from lafi_export.tensorrt_plan import BuildError

Feed = Mapping[str, npt.NDArray[Any]]

TOLERANCES: Mapping[str, float] = {"f16": 2e-2, "bf16": 1e-1, "f32": 1e-2}
"""By precision, how far a value may be off: absolute, or relative to itself, whichever is more.

fp32 products are TF32 on the GPU, which keeps as few digits of its factors as fp16 does.
"""

_ROWS: Final = 2
_LATE: Final = 500.0


class CompareEngine(Protocol):
    """`compare_with_onnx`, or what a test puts in its place."""

    def __call__(
        self, graph: Path, plan: Path, metadata: EngineMetadata, feeds: list[Feed]
    ) -> None: ...


class CheckEngine(Protocol):
    """`check_engine`, or what a test puts in its place."""

    def __call__(
        self, source: Path, names: Mapping[str, str], metadata: EngineMetadata
    ) -> None: ...


def compare_with_onnx(graph: Path, plan: Path, metadata: EngineMetadata, feeds: list[Feed]) -> None:
    """Run the plan and, in ONNX Runtime on the CPU, its graph on the same inputs.

    graph: in fp32 and with the plan's own input names. feeds: inputs by name, within the plan's
    profile. Raises as `compare_runs`.
    """
    from polygraphy.backend.trt import TrtRunner

    engine = open_plan(plan, metadata)
    compare_runs(graph, TrtRunner(engine.cuda_engine, name="tensorrt"), metadata, feeds)


def compare_runs(graph: Path, runner: Any, metadata: EngineMetadata, feeds: list[Feed]) -> None:
    """As `compare_with_onnx`, with any runner of Polygraphy's in the place of the engine.

    Raises ValueError for a shape outside the profile and BuildError naming plan and outputs where
    one is further off than the precision allows, or is not finite.
    """
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator, SimpleCompareFunc
    from polygraphy.logger import G_LOGGER

    for feed in feeds:
        metadata.check_shapes({name: tuple(np.shape(values)) for name, values in feed.items()})
    most = TOLERANCES[metadata.precision]
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        # The second is the one that errors are relative to.
        runners = [runner, OnnxrtRunner(SessionFromOnnx(str(graph)), name="onnx")]
        results = Comparator.run(runners, data_loader=[dict(feed) for feed in feeds])
        compare = SimpleCompareFunc(atol=most, rtol=most)
        (accuracy,) = Comparator.compare_accuracy(results, compare_func=compare)
        finite = Comparator.validate(results, check_inf=True, check_nan=True)
    if not finite:
        raise BuildError(f"{metadata.plan}: got values that are not finite, allowed finite ones")
    off = _outputs_off(accuracy)
    if off or not bool(accuracy):
        raise BuildError(
            f"{metadata.plan}: got {', '.join(off) or 'other outputs'} than {graph.name} gives, "
            f"allowed {most:g} in {metadata.precision}, absolute or relative"
        )


def check_engine(
    source: Path,
    names: Mapping[str, str],
    metadata: EngineMetadata,
    *,
    compare: CompareEngine = compare_with_onnx,
) -> None:
    """Compare the plan beside the exported file `source`, of which it was built, with that file.

    names: inputs and outputs that the plan has under other names, from exported to the plan's.
    Raises BuildError for an engine that disagrees.
    """
    artifacts = source.parent
    info = load_model_info(artifacts)
    vocabulary = min(text_stack_of(info).vocabularies(artifacts, info))
    feeds = sample_feeds(metadata, vocabulary, input_ports(info))
    with _renamed(source, names) as graph:
        compare(graph, artifacts / metadata.plan, metadata, feeds)


def sample_feeds(
    metadata: EngineMetadata, vocabulary: int, ports: Sequence[InputPort]
) -> list[Feed]:
    """Inputs of two rows, or of as near as there are engines for, at the smallest picture.

    vocabulary: number of token ids. ports: the denoiser's. If the engine has routes, one feed reads
    nothing, and in the other each row reads the next one in all layers, with its words limited to
    the first region.
    """
    generator = np.random.default_rng(0)
    of_name = {port.name: port for port in ports}
    feed = {
        name: values_of(
            name, port := of_name.get(name), _shape(metadata, name, port), vocabulary, generator
        )
        for name in metadata.profile
    }
    if "routes" not in feed:
        return [feed]
    rows = feed["routes"].shape[1]
    following = (np.arange(rows, dtype=np.int32) + 1) % rows
    routed = np.broadcast_to(following[None, :, None], feed["routes"].shape)
    other = {"routes": np.ascontiguousarray(routed)}
    for port in (port for port in ports if port.example == "slot"):
        other[port.name] = np.zeros_like(feed[port.name])
        # A text always has a token that belongs to nobody.
        other[port.name][:, 0] = NOWHERE
    return [feed, feed | other]


def _shape(metadata: EngineMetadata, name: str, port: InputPort | None) -> Shape:
    """The smallest of the profile, but `_ROWS` rows. A bank keeps its smallest number of entries"""
    shapes = metadata.profile[name]
    if name.startswith(BANK):
        return shapes.smallest
    axis = port.row_axis if port is not None else 0
    rows = min(max(_ROWS, shapes.smallest[axis]), shapes.largest[axis])
    return (*shapes.smallest[:axis], rows, *shapes.smallest[axis + 1 :])


def values_of(
    name: str,
    port: InputPort | None,
    shape: Shape,
    vocabulary: int,
    generator: np.random.Generator,
) -> npt.NDArray[Any]:
    """Of one input; port: the denoiser's of that name, None for other engines and the bank."""
    kind = port.example if port is not None else "weight" if name == BANK_MASK else "normal"
    if name == TOKEN_IDS:
        return generator.integers(0, vocabulary, shape, dtype=np.int64)
    if name == CLIP_SKIP:
        # Every model that has it has a layer to skip.
        return np.arange(shape[0], dtype=np.int64).reshape(shape) % 2
    if kind in ("route", "slot"):
        return np.full(shape, NOWHERE, np.int32)
    if kind in ("timestep", "pixels"):
        return np.full(shape, _LATE, np.float32)
    if kind == "weight":
        return generator.random(shape, np.float32).round(1)
    return generator.standard_normal(shape, np.float32)


@contextmanager
def _renamed(source: Path, names: Mapping[str, str]) -> Iterator[Path]:
    """The graph under the plan's names, for a while beside the source, whose weights it shares."""
    if not names:
        yield source
        return
    model = onnx.load(source, load_external_data=False)
    rename(model, names)
    with tempfile.NamedTemporaryFile(
        dir=source.parent, prefix=f".{source.stem}.", suffix=".onnx"
    ) as file:
        file.write(model.SerializeToString())
        file.flush()
        yield Path(file.name)


def _outputs_off(accuracy: Any) -> list[str]:
    """Each output that failed, once for each feed, with its largest absolute difference."""
    return [
        f"{name} off by {getattr(result, 'max_absdiff', None)}"
        for iterations in accuracy.values()
        for outputs in iterations
        for name, result in outputs.items()
        if not result
    ]
