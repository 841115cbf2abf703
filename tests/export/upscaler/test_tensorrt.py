"""Plans of networks: what is asked of TensorRT, and what is left behind; building is pretended."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lafi.engine.onnx.graph import open_graph
from lafi.engine.onnx.tiles import spans, tile_side
from lafi.engine.onnx.upscaler import GIVEN, MADE
from lafi.engine.tensorrt.upscaler import on_runner
from lafi.model.artifacts import file_sha256
from lafi.model.engine_metadata import EngineMetadata, GpuMachine, load_engine_metadata
from lafi_export.tensorrt_plan import BuildPlan
from lafi_export.upscaler.tensorrt import build_upscalers, check_network, network_profile

BUNDLED = Path(__file__).parents[3] / "tiny_model/upscaler"
HERE = GpuMachine(gpu="NVIDIA H200", capability="9.0", tensorrt="11.4.0.106")


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    shutil.copytree(BUNDLED, tmp_path / "upscaler")
    return tmp_path


class PretendedBuilder:
    """Keeps the graph that it was given in the place of a plan."""

    def __init__(self) -> None:
        self.plans: list[BuildPlan] = []

    def __call__(
        self, graph: Path, target: Path, plan: BuildPlan, *, timing_cache: Path | None = None
    ) -> int:
        self.plans.append(plan)
        shutil.copy(graph, target)
        return plan.attention_plugins


def test_each_network_gets_a_plan_that_knows_its_sources(artifacts: Path) -> None:
    build, checked, steps = PretendedBuilder(), [], []

    def check(source: Path, names: Mapping[str, str], metadata: EngineMetadata) -> None:
        checked.append((source, dict(names), metadata.plan))

    made = build_upscalers(
        artifacts,
        HERE,
        build,
        timing_cache=artifacts / "timing",
        check=check,
        tell=steps.append,
    )
    folder = artifacts / "upscaler/x4"
    assert list(made) == [4]
    assert made[4] == load_engine_metadata(folder / "network.plan")
    made[4].check_machine(HERE)
    weights = "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"
    made[4].check_sources(file_sha256(folder / "network.onnx"), weights)
    assert checked == [(folder / "network.onnx", {}, "network.plan")]
    assert (len(build.plans), len(steps)) == (1, 1)
    assert build.plans[0].network_flags == ("STRONGLY_TYPED",)
    assert [path.name for path in folder.glob(".tensorrt.*")] == []


def test_the_graph_for_tensorrt_gives_what_the_file_gives(artifacts: Path) -> None:
    build_upscalers(artifacts, HERE, PretendedBuilder(), timing_cache=artifacts / "timing")
    folder = artifacts / "upscaler/x4"
    graph = onnx.load_from_string((folder / "network.plan").read_bytes())
    onnx.checker.check_model(graph)
    image = np.random.default_rng(0).random((2, 3, 8, 11), np.float32)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected,) = open_graph(folder / "network.onnx", "onnxruntime", "f32", 1)({GIVEN: image})
    np.testing.assert_allclose(session.run([MADE], {GIVEN: image})[0], expected, atol=1e-6)


@pytest.mark.parametrize("reach", [18, 349])
def test_the_profile_takes_every_tile(reach: int) -> None:
    shapes = network_profile(reach)[GIVEN]
    for side in (8, 64, tile_side(reach), tile_side(reach) + 1, 2048):
        for span in spans(side, reach):
            size = span.stop - span.start
            assert shapes.allows((1, 3, size, size))
            assert shapes.allows((8, 3, size, size))


def test_a_plan_is_compared_with_its_file(artifacts: Path) -> None:
    made = build_upscalers(artifacts, HERE, PretendedBuilder(), timing_cache=artifacts / "timing")
    seen: list[Any] = []
    folder = artifacts / "upscaler/x4"
    check_network(folder / "network.onnx", {}, made[4], compare=lambda *given: seen.append(given))
    ((graph, plan, metadata, feeds),) = seen
    assert (graph, plan, metadata) == (folder / "network.onnx", folder / "network.plan", made[4])
    assert [{name: values.shape for name, values in feed.items()} for feed in feeds] == [
        {GIVEN: (2, 3, 8, 8)}
    ]


def test_no_networks_no_plans(tmp_path: Path) -> None:
    build = PretendedBuilder()
    assert build_upscalers(tmp_path, HERE, build, timing_cache=tmp_path / "timing") == {}
    assert build.plans == []


def test_a_runner_as_a_function_of_arrays() -> None:
    def runner(feed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {MADE: feed[GIVEN].repeat_interleave(2, dim=3)}

    given = np.ones((1, 3, 2, 2), np.float32)
    made = on_runner(runner)(given)  # type: ignore[arg-type]
    assert (made.shape, made.dtype) == ((1, 3, 2, 4), np.float32)
