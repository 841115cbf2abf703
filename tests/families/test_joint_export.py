"""The denoisers of SD3.5 and FLUX are exported, and ONNX Runtime gives what torch gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from joint_checkpoints import joint_checkpoint

from lafi.engine.onnx.engines import OnnxDenoiser, OnnxReferenceReader
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.artifacts import WEIGHTS
from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo, ReferencePositions
from lafi.ports.bank_entry import stack_bank
from lafi.ports.engines import Engines, ReferenceReader
from lafi_export.modules import load_modules
from lafi_export.onnx_export import denoiser_graph, export_graph, reference_graph
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_kernels import onnx_function

SIZES = ((1, 2, 2), (3, 2, 3))
CASES: Mapping[str, tuple[ReferencePositions, Mapping[str, Any]]] = {
    "sd35": ("same", {"num_layers": 2, "dual_attention_layers": [0]}),
    "dev": ("shifted", {"num_layers": 1, "num_single_layers": 1}),
}
"""Checkpoint -> where its references stand, which may depend on the grid; and fewer blocks."""


@dataclass(frozen=True)
class Exported:
    """A checkpoint's files, and torch engines with the same weights.

    info: facts with which texts have few tokens; the graphs are for those.
    """

    info: ModelInfo
    folder: Path
    torch: Engines

    def run(self, file: str) -> RunGraph:
        return open_graph(self.folder / file, "onnxruntime", threads=1)


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    source, folder = (tmp_path_factory.mktemp(name) for name in (request.param, "artifacts"))
    positions, few_blocks = CASES[request.param]
    joint_checkpoint(request.param, source, **few_blocks)
    chosen = {"reference_positions": positions, "text_length": 6}
    info = read_model_info(source).model_copy(update=chosen)
    modules = load_modules(source, info, folder / WEIGHTS)
    denoisers = denoiser_graph(modules.denoiser, info), reference_graph(modules.reference, info)
    for graph in denoisers:
        export_graph(graph, folder / graph.file, modules.weights)
    return Exported(info, folder, modules.engines(source, info))


def test_there_is_a_node_for_each_site(exported: Exported) -> None:
    graph = onnx.load(exported.folder / "denoiser.onnx", load_external_data=False).graph
    nodes = [node for node in graph.node if node.domain == onnx_function.DOMAIN]
    assert [n.attribute[0].i for n in nodes] == [site.heads for site in exported.info.layers]


def test_predictions_are_torchs(exported: Exported) -> None:
    denoiser = OnnxDenoiser(exported.run("denoiser.onnx"), exported.info)
    for name, batch in denoiser_cases(exported.info, SIZES):
        wanted = exported.torch.denoiser(batch)
        torch.testing.assert_close(denoiser(batch), wanted, atol=1e-4, rtol=0, msg=name)


def test_a_bank_that_onnx_runtime_reads_is_torchs(exported: Exported) -> None:
    denoiser = OnnxDenoiser(exported.run("denoiser.onnx"), exported.info)
    reader: ReferenceReader = OnnxReferenceReader(
        lambda: exported.run("reference.onnx"), exported.info
    )
    for name, case in bank_cases(exported.info, SIZES[1:]):
        bank = stack_bank(reader(case.references))
        drawn = denoiser(replace(case.panels, bank=bank))
        rows = exported.torch.denoiser(case.rows)[: len(drawn)]
        torch.testing.assert_close(drawn, rows, atol=1e-4, rtol=0, msg=name)
