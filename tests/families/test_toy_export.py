"""A family that only tests know is exported, and ONNX Runtime gives what torch gives."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from lafi.engine.onnx.engines import OnnxDenoiser, OnnxReferenceReader
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader
from lafi.engine.torch.families.registry import torch_family_of
from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_tensor_names
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import stack_bank
from lafi_export.modules import DenoiserModule, ReferenceModule
from lafi_export.onnx_export import denoiser_graph, export_graph, reference_graph
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_export.tensorrt_build import build_engine
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_export.tensorrt_plan import BuildOptions, plan_build
from lafi_export.tensorrt_profiles import Limits, Range, denoiser_profile
from lafi_kernels import onnx_function

SIZES = ((1, 2, 2), (3, 2, 3), (5, 4, 1))


@pytest.fixture(scope="module")
def prepared(info: ModelInfo, network: Any) -> Any:
    """Routes are an argument of its calls."""
    module = copy.deepcopy(network)
    torch_family_of(info).install(module, info)
    return module


@pytest.fixture(scope="module")
def exported(
    info: ModelInfo, prepared: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Files of the denoiser and of what reads references."""
    folder = tmp_path_factory.mktemp("exported")
    paths = []
    for graph in (
        denoiser_graph(DenoiserModule(prepared, info).eval(), info),
        reference_graph(ReferenceModule(prepared, info).eval(), info),
    ):
        export_graph(graph, folder / graph.file, ())
        paths.append(folder / graph.file)
    return paths[0], paths[1]


def test_the_graph_has_its_inputs_and_a_node_for_each_site(
    info: ModelInfo, exported: tuple[Path, Path]
) -> None:
    denoiser, reference = (onnx.load(path).graph for path in exported)
    names, bank = (
        [port.name for port in input_ports(info)],
        [*bank_tensor_names(bank_groups(info.layers))],
    )
    assert [value.name for value in denoiser.input] == [*names, BANK_MASK, *bank]
    alone = ["latents", "timesteps", "text", "text_mask", "guidance", "mood"]
    assert [value.name for value in reference.input] == alone
    assert [value.name for value in reference.output] == bank
    nodes = [node for node in denoiser.node if node.domain == onnx_function.DOMAIN]
    assert [node.attribute[0].i for node in nodes] == [site.heads for site in info.layers]


def test_onnx_runtime_gives_what_torch_gives(
    info: ModelInfo, prepared: Any, exported: tuple[Path, Path]
) -> None:
    session = open_graph(exported[0], "onnxruntime", threads=1)
    denoiser, wanted = OnnxDenoiser(session, info), TorchDenoiser(prepared, info)
    for name, batch in denoiser_cases(info, SIZES):
        torch.testing.assert_close(denoiser(batch), wanted(batch), atol=1e-4, rtol=0, msg=name)


def test_a_bank_that_onnx_runtime_reads_is_torchs(
    info: ModelInfo, prepared: Any, exported: tuple[Path, Path]
) -> None:
    """Read by one graph, drawn with by the other: as with references that are rows."""

    def open_reference() -> RunGraph:
        return open_graph(exported[1], "onnxruntime", threads=1)

    denoiser = OnnxDenoiser(open_graph(exported[0], "onnxruntime", threads=1), info)
    reader = OnnxReferenceReader(open_reference, info)
    torch_denoiser = TorchDenoiser(prepared, info)
    torch_reader = TorchReferenceReader(prepared, info)
    for name, case in bank_cases(info, SIZES):
        entries, theirs = reader(case.references), torch_reader(case.references)
        for entry, other in zip(entries, theirs, strict=True):
            pairs = zip(entry.keys + entry.values, other.keys + other.values, strict=True)
            for got, wanted in pairs:
                torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0, msg=name)
        drawn = denoiser(replace(case.panels, bank=stack_bank(entries)))
        rows = torch_denoiser(case.rows)[: len(drawn)]
        torch.testing.assert_close(drawn, rows, atol=1e-4, rtol=0, msg=name)


def given(source: Path, target: Path, info: ModelInfo, precision: Any) -> Path:
    """The graph that TensorRT gets."""
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    write_graph(source, target, GraphChange(precision, plugin=False, exact_inputs=exact))
    return target


def test_the_graph_for_tensorrt_is_near_in_half_precision(
    info: ModelInfo, prepared: Any, exported: tuple[Path, Path], tmp_path: Path
) -> None:
    """In float16, since ONNX Runtime computes nothing in bfloat16; rotary positions included."""
    graph = given(exported[0], tmp_path / "half.onnx", info, "f16")
    denoiser = OnnxDenoiser(open_graph(graph, "onnxruntime", threads=1), info)
    wanted = TorchDenoiser(prepared, info)
    for name, batch in denoiser_cases(info, ((3, 2, 3), (1, 20, 30))):
        torch.testing.assert_close(denoiser(batch), wanted(batch), atol=2e-2, rtol=2e-2, msg=name)


def test_tensorrt_rtx_builds_it(
    info: ModelInfo, exported: tuple[Path, Path], tmp_path: Path
) -> None:
    """Joint text, rotary positions and a number for guidance, by the real builder."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="the extra `rtx` is not installed")
    graph = given(exported[0], tmp_path / "given.onnx", info, "bf16")
    limits = Limits(rows=Range(1, 2, 2), side=Range(16, 16, 32))
    plan = plan_build(denoiser_profile(info, limits), 0, BuildOptions.for_rtx(("SM89",)))
    assert build_engine(graph, tmp_path / "toy.plan", plan) == 0
    assert (tmp_path / "toy.plan").stat().st_size > 10_000
