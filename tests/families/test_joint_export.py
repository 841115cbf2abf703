"""The graphs of SD3.5 and FLUX are exported, and ONNX Runtime gives what torch gives."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
import torch
from joint_checkpoints import joint_checkpoint

from lafi.engine.onnx.engines import OnnxDenoiser, OnnxReferenceReader, OnnxTextEncoder
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.artifacts import WEIGHTS
from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import text_names
from lafi.model.info import ModelInfo, ReferencePositions
from lafi.ports.bank_entry import stack_bank
from lafi.ports.engines import Engines, ReferenceReader
from lafi_export.modules import load_modules
from lafi_export.onnx_export import denoiser_graph, export_graph, graphs, reference_graph
from lafi_export.parity_cases import bank_cases, denoiser_cases, token_cases
from lafi_kernels import onnx_function

SIZES = ((1, 2, 2), (3, 2, 3))
CASES: Mapping[str, ReferencePositions] = {"sd35": "same", "dev": "shifted"}
"""Checkpoint -> where its references stand; what depends on the grid is traced too."""
VOCABULARY = 98
"""Fewer than the ids of either tokenizer, so that both encoders know all."""


@dataclass(frozen=True)
class Exported:
    """A checkpoint's files, and torch engines with the same weights.

    short: facts with which texts have few tokens; the denoiser's graphs are for those.
    """

    info: ModelInfo
    short: ModelInfo
    folder: Path
    torch: Engines

    def run(self, file: str) -> RunGraph:
        return open_graph(self.folder / file, "onnxruntime", threads=1)


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    source, folder = (tmp_path_factory.mktemp(name) for name in (request.param, "artifacts"))
    joint_checkpoint(request.param, source)
    chosen = {"reference_positions": CASES[request.param]}
    info = read_model_info(source).model_copy(update=chosen)
    modules = load_modules(source, info, folder / WEIGHTS)
    short = info.model_copy(update={"text_length": 6})
    text_encoder, *_ = graphs(modules, info)
    denoisers = denoiser_graph(modules.denoiser, short), reference_graph(modules.reference, short)
    for graph in (text_encoder, *denoisers):
        used = export_graph(graph, folder / graph.file, modules.weights)
        assert all((folder / place).is_file() for place in used)
    return Exported(info, short, folder, modules.engines(source, info))


def test_there_is_a_node_for_each_site(exported: Exported) -> None:
    graph = onnx.load(exported.folder / "denoiser.onnx", load_external_data=False).graph
    nodes = [node for node in graph.node if node.domain == onnx_function.DOMAIN]
    assert [n.attribute[0].i for n in nodes] == [site.heads for site in exported.info.layers]


def test_texts_are_torchs(exported: Exported) -> None:
    names = text_names(exported.info)
    encoder = OnnxTextEncoder(exported.run("text_encoder.onnx"), names, 0)
    for name, ids, _ in token_cases(exported.info, VOCABULARY):
        got, wanted = encoder(ids), exported.torch.text_encoder(ids)
        for port in names:
            torch.testing.assert_close(got[port], wanted[port], atol=1e-4, rtol=1e-4, msg=name)


def test_predictions_are_torchs(exported: Exported) -> None:
    denoiser = OnnxDenoiser(exported.run("denoiser.onnx"), exported.short)
    for name, batch in denoiser_cases(exported.short, SIZES):
        wanted = exported.torch.denoiser(batch)
        torch.testing.assert_close(denoiser(batch), wanted, atol=1e-4, rtol=0, msg=name)


def test_a_bank_that_onnx_runtime_reads_is_torchs(exported: Exported) -> None:
    denoiser = OnnxDenoiser(exported.run("denoiser.onnx"), exported.short)
    reader: ReferenceReader = OnnxReferenceReader(
        lambda: exported.run("reference.onnx"), exported.short
    )
    for name, case in bank_cases(exported.short, SIZES[1:]):
        bank = stack_bank(reader(case.references))
        drawn = denoiser(replace(case.panels, bank=bank))
        rows = exported.torch.denoiser(case.rows)[: len(drawn)]
        torch.testing.assert_close(drawn, rows, atol=1e-4, rtol=0, msg=name)
