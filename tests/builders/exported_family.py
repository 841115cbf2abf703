"""A family's graphs, exported from a small checkpoint and compared with torch in ONNX Runtime."""

from dataclasses import replace
from pathlib import Path

import onnx
import torch

from lafi.engine.onnx.engines import OnnxDenoiser, OnnxReferenceReader, OnnxTextEncoder
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import input_ports, text_names
from lafi.model.info import ReferencePositions
from lafi.ports.bank_entry import stack_bank
from lafi_export.modules import load_modules
from lafi_export.onnx_export import export_graph, graphs
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_export.tensorrt_graph import GraphChange, write_graph
from lafi_kernels import onnx_function

SIZES = ((1, 2, 2), (3, 2, 3), (2, 5, 4))
CLOSE = {"atol": 2e-4, "rtol": 0.0}
NEAR = {"atol": 2e-2, "rtol": 2e-2}
"""In float16, for which TensorRT is given another graph."""


def check_exported(checkpoint: Path, folder: Path, positions: ReferencePositions = "same") -> None:
    """Denoiser, reference reader and text encoder give what torch gives, at several sizes, and so
    does the graph of the denoiser that TensorRT is given."""
    info = read_model_info(checkpoint).model_copy(update={"reference_positions": positions})
    modules = load_modules(checkpoint, info, folder / "weights")
    for graph in graphs(modules, info):
        if not graph.file.startswith("vae"):
            export_graph(graph, folder / graph.file, modules.weights)

    def opened(name: str) -> RunGraph:
        return open_graph(folder / f"{name}.onnx", "onnxruntime", threads=1)

    wanted = modules.engines(checkpoint, info)
    graph = onnx.load(folder / "denoiser.onnx", load_external_data=False).graph
    nodes = [node for node in graph.node if node.domain == onnx_function.DOMAIN]
    assert [node.attribute[0].i for node in nodes] == [site.heads for site in info.layers]
    denoiser = OnnxDenoiser(opened("denoiser"), info)
    exact = tuple(port.name for port in input_ports(info) if port.exact)
    change = GraphChange("f16", plugin=False, exact_inputs=exact)
    write_graph(folder / "denoiser.onnx", folder / "half.onnx", change)
    half = OnnxDenoiser(opened("half"), info)
    for name, batch in denoiser_cases(info, SIZES):
        predicted = wanted.denoiser(batch)
        torch.testing.assert_close(denoiser(batch), predicted, **CLOSE, msg=name)
        torch.testing.assert_close(half(batch), predicted, **NEAR, msg=f"{name}, float16")
    reader = OnnxReferenceReader(lambda: opened("reference"), info)
    for name, case in bank_cases(info, SIZES[:2]):
        bank = stack_bank(reader(case.references))
        drawn = denoiser(replace(case.panels, bank=bank))
        rows = wanted.denoiser(case.rows)[: len(drawn)]
        torch.testing.assert_close(drawn, rows, **CLOSE, msg=name)
    encoder = OnnxTextEncoder(opened("text_encoder"), text_names(info), info.most_clip_skip)
    ids = torch.from_numpy(wanted.prompts.token_ids(["A red hat", "", "x " * 40]))
    for texts in (ids, ids[:1]):
        theirs, ours = wanted.text_encoder(texts), encoder(texts)
        for port, values in theirs.items():
            torch.testing.assert_close(ours[port], values, **CLOSE, msg=port)
