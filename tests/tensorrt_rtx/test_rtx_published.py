"""Published UNets, by the real parser and builder of TensorRT-RTX.

SDXL's kinds of blocks and conditions with few layers here, whole ones in the slow tests of
`test_rtx_command.py`: torch's exporter takes minutes for those.
"""

from pathlib import Path

import pytest
from shallow_unets import shallow_unet

from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import input_ports
from lafi_export.modules import load_modules
from lafi_export.onnx_export import export_graph, graphs
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_export.tensorrt_plan import BuildOptions, plan_build
from lafi_export.tensorrt_profiles import Limits, Range, denoiser_profile

pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")


def test_a_shallow_sdxl_is_built(tmp_path: Path) -> None:
    """Pooled text, sizes and linear projections, which the test checkpoint does not have."""
    shallow_unet("sdxl", tmp_path / "checkpoint")
    info = read_model_info(tmp_path / "checkpoint")
    assert len(info.layers) == 4
    modules = load_modules(tmp_path / "checkpoint", info, tmp_path / "weights")
    (graph,) = (graph for graph in graphs(modules, info) if graph.file == "denoiser.onnx")
    export_graph(graph, tmp_path / "denoiser.onnx", modules.weights)
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    change = GraphChange("f16", plugin=False, exact_inputs=exact)
    write_graph(tmp_path / "denoiser.onnx", tmp_path / "given.onnx", change)
    limits = Limits(rows=Range(1, 3, 4), side=Range(64, 64, 96))
    profile = denoiser_profile(info, limits)
    assert {"pooled", "time_ids"} <= set(profile)
    plan = plan_build(profile, 0, BuildOptions.for_rtx(("SM89",)))
    assert build_engine(tmp_path / "given.onnx", tmp_path / "denoiser.plan", plan) == 0
    assert (tmp_path / "denoiser.plan").stat().st_size > 1_000_000
